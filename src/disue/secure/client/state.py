"""The client's state: what it keeps between rounds, and what it erases after one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from disue.secure.client.local import Inputs, Memory, Own
from disue.secure.wire.messages import Grouped, Keys
from disue.secure.wire.names import Refusal
from disue.secure.wire.opening import Open
from disue.secure.wire.roster import Roster

KEYED, TRAINING, TRAINED, SKETCHED, SUMMING = "KEYED", "TRAINING", "TRAINED", "SKETCHED", "SUMMING"
SHARED, MASKED, ALIVE, UNMASKED, CLOSED = "SHARED", "MASKED", "ALIVE", "UNMASKED", "CLOSED"


@dataclass(frozen=True)
class Ready:
    """Local event: training ended, and this is what there is to say."""

    inputs: Inputs


@dataclass(frozen=True)
class Deadline:
    """Event of the driver: no more waiting at this stage."""

    stage: str


@dataclass(frozen=True)
class Aborted:
    """The round ended for this client; every key of it is erased."""

    refusal: Refusal


@dataclass(frozen=True)
class Closed:
    """Every sum that this client had a part in is done; every key is erased."""


@dataclass(frozen=True, repr=False)
class Secrets:
    """The keys of one round: box (X25519), and per pass a mask key (X25519) and the seed of the self mask."""

    box: bytes
    masks: tuple[bytes, ...]
    selves: tuple[bytes, ...]


@dataclass(frozen=True, repr=False)
class Part:
    """A client's part in one sum.

    context  per pass
    members  of the group                           present  whose shares came; in the second pass, who was alive
    shares   per member, per pass (mask key, self seed), where this client is a holder
    alive    the set shown in this pass
    counts   contributors per class, once the first pass of two gave them
    """

    sum: int
    context: tuple[bytes, ...]
    members: tuple[int, ...]
    stage: str = SHARED
    pass_: int = 0
    present: tuple[int, ...] = ()
    shares: Mapping[int, tuple[tuple[bytes, bytes], ...]] = field(default_factory=dict)
    alive: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, repr=False, eq=False)
class Round:
    """Everything of one round.

    number, attempt  of the header          opened   what it is about
    me               own roster index       of_round, of_keys  context hashes
    own_keys         the KEYS message sent  keys     everybody's, by roster index
    answers          what was answered to each message, by its hash; the sum, where it was a masked vector
    """

    number: int
    attempt: int
    me: int
    opened: Open
    of_round: bytes
    secrets: Secrets
    own_keys: bytes
    stage: str = KEYED
    of_keys: bytes = b""
    keys: Mapping[int, Keys] = field(default_factory=dict)
    contribution: bytes = b""
    inputs: Inputs | None = None
    reported: int | None = None
    groups: Grouped | None = None
    parts: Mapping[int, Part] = field(default_factory=dict)
    answers: Mapping[bytes, tuple[bytes, ...] | int] = field(default_factory=dict)

    @property
    def context(self) -> bytes:
        return self.of_keys or self.of_round

    def with_part(self, part: Part) -> Round:
        return replace(self, parts={**self.parts, part.sum: part})


@dataclass(frozen=True, repr=False, eq=False)
class State:
    own: Own
    roster: Roster | None
    memory: Memory
    round: Round | None = None

    @property
    def stage(self) -> str:
        return "IDLE" if self.round is None else self.round.stage
