"""The server's state of one round, and what can happen in it. It holds messages and sums, no secret and no seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from disue.secure.wire.codec import Message
from disue.secure.wire.hashes import ctx_round
from disue.secure.wire.messages import Grouped
from disue.secure.wire.names import Refusal
from disue.secure.wire.opening import Open
from disue.secure.wire.ring import Ring
from disue.secure.wire.roster import Roster

OPEN, SEEDING, TRAINING, SKETCHING, GROUPING = "OPEN", "SEEDING", "TRAINING", "SKETCHING", "GROUPING"
SUMMING, DONE = "SUMMING", "DONE"
SHARING, COLLECTING, CONFIRMING, UNMASKING = "SHARING", "COLLECTING", "CONFIRMING", "UNMASKING"


@dataclass(frozen=True)
class Deadline:
    """Event of the driver: no more waiting at this stage, of this sum where it is one of a sum's."""

    stage: str
    sum: int | None = None


@dataclass(frozen=True)
class Trained:
    """Event of the driver: clients have had the time to train, sketches may be asked for."""


@dataclass(frozen=True)
class Group:
    """Event of the driver: the groups that the method found, by their ids."""

    groups: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True)
class Over:
    """Event of the driver: nothing more is wanted of this round."""


@dataclass(frozen=True)
class Refused:
    """A message was refused and changed nothing. sender  as the header says, None where it has none"""

    sender: int | None
    refusal: Refusal


@dataclass(frozen=True)
class Gone:
    """A client left the round, by its own word (what it told) or by silence (`Timeout`)."""

    who: int
    refusal: Refusal


@dataclass(frozen=True)
class Failed:
    """A sum, or where `sum` is None the round, ended without a result; nothing was unmasked."""

    refusal: Refusal
    sum: int | None = None


@dataclass(frozen=True, eq=False)
class Summed:
    """A pass of a sum is open. alive  roster indices in it; total  (L,) modulo 2^64"""

    sum: int
    pass_: int
    alive: tuple[int, ...]
    total: Ring


Event = Refused | Gone | Failed | Summed


@dataclass(frozen=True, eq=False)
class Sum:
    """One sum. context  per pass; members  of the group; present  whose shares came, then who was alive before

    masked  whose vectors came, and `total` their sum
    """

    sum: int
    context: tuple[bytes, ...]
    members: tuple[int, ...]
    stage: str = SHARING
    pass_: int = 0
    shares: Mapping[int, Message] = field(default_factory=dict)
    present: tuple[int, ...] = ()
    masked: tuple[int, ...] = ()
    total: Ring | None = None
    alive: tuple[int, ...] = ()
    asked: tuple[int, ...] = ()
    signed: Mapping[int, Message] = field(default_factory=dict)
    told: Mapping[int, Message] = field(default_factory=dict)
    failed: Refusal | None = None

    @property
    def now(self) -> bytes:
        return self.context[self.pass_]


@dataclass(frozen=True, eq=False)
class Round:
    """One round at the server.

    keys, seeds, answers  messages by sender: KEYS; SEED; SKETCH, SIGNS or CHOICE
    led_by                whose seed contributions are needed
    gone                  who left, and why
    seen                  signature of what was accepted, by (sender, type, sum, pass)
    """

    roster: Roster
    number: int
    attempt: int
    opened: Open
    body: bytes
    of_round: bytes
    stage: str = OPEN
    keys: Mapping[int, Message] = field(default_factory=dict)
    of_keys: bytes = b""
    led_by: tuple[int, ...] = ()
    seeds: Mapping[int, Message] = field(default_factory=dict)
    answers: Mapping[int, Message] = field(default_factory=dict)
    groups: Grouped | None = None
    sums: Mapping[int, Sum] = field(default_factory=dict)
    gone: Mapping[int, Refusal] = field(default_factory=dict)
    seen: Mapping[tuple[int, int, int, int], bytes] = field(default_factory=dict)

    def with_sum(self, one: Sum) -> Round:
        return replace(self, sums={**self.sums, one.sum: one})

    @property
    def holders(self) -> tuple[int, ...]:
        return () if self.groups is None else self.groups.holders

    def there(self, whom: tuple[int, ...]) -> tuple[int, ...]:
        """Those of `whom` who have not left."""
        return tuple(index for index in whom if index not in self.gone)


def opening(roster: Roster, number: int, attempt: int, opened: Open) -> Round:
    body = opened.pack()
    return Round(roster, number, attempt, opened, body, ctx_round(roster.hash, number, attempt, body))
