"""What a client brings to the protocol from its own side: rules, memory, what it received, what it has to say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from disue.core.checks import Float64, IntVector, Vector
from disue.secure.wire.opening import Open

Random: TypeAlias = Callable[[int], bytes]
Values: TypeAlias = Float64 | Callable[[], Float64]  # an array, or what makes it when it is needed
Sections: TypeAlias = Sequence[Values] | Callable[[int | None], Sequence[Values]]


@dataclass(frozen=True)
class Policy:
    """The weakest round that a client takes part in.

    min_group        members of a sum                  min_cell     members of a sum with one start model
    min_class        contributors of a class           quorum       clients in the cohort after KEYS
    min_lot          members of a static sum           consistency  whether the alive set must be compared
    static_releases  different static sums answered    epsilon      the loosest privacy of a choice
    lots             whether labels and moments are summed as static sections only
    """

    min_group: int = 3
    min_cell: int = 1
    min_class: int = 3
    quorum: int = 3
    min_lot: int = 6
    static_releases: int = 2
    consistency: bool = True
    epsilon: float = math.inf
    lots: bool = True


@dataclass(frozen=True)
class Memory:
    """What must outlast a round, stored before a message leaves.

    version         of the newest roster seen
    round, attempt  of the last round answered
    lots            hashes of the member sets whose static sums were answered
    choices         (starts, epsilon, true choice, answer): the same truth gets the same answer
    """

    version: int = 0
    round: int = -1
    attempt: int = 0
    lots: tuple[bytes, ...] = ()
    choices: tuple[tuple[int, float, int, int], ...] = ()

    def plain(self) -> list[Any]:
        """As JSON holds it."""
        return [
            self.version,
            self.round,
            self.attempt,
            [lot.hex() for lot in self.lots],
            [list(c) for c in self.choices],
        ]

    @staticmethod
    def read(plain: Sequence[Any]) -> Memory:
        version, round, attempt, lots, choices = plain
        return Memory(
            int(version),
            int(round),
            int(attempt),
            tuple(bytes.fromhex(lot) for lot in lots),
            tuple((int(a), float(e), int(t), int(r)) for a, e, t, r in choices),
        )

    def opened(self, number: int, attempt: int) -> Memory:
        return replace(self, round=number, attempt=attempt)

    def released(self, lot: bytes) -> Memory:
        return self if lot in self.lots else replace(self, lots=(*self.lots, lot))


@dataclass(frozen=True)
class Received:
    """What came to this client for the round outside the protocol, as hashes.

    layout     fingerprint of the own model
    reference  hash of the vector that ends are counted from
    starts     hash of the start received; of all starts, in order, where the client chooses; empty for its own
    """

    layout: bytes
    reference: bytes
    starts: tuple[bytes, ...]


@dataclass(frozen=True, eq=False)
class Inputs:
    """What this client has to say in a round.

    slices    the parts of the update that are sketched
    sections  one array per section of the (first) pass, or a function of the choice that was reported
    second    arrays of the second pass from the contributors per class; where a class has too few, zeros
    choice    the start with the lowest loss, where the round asks for one
    """

    slices: Sequence[Vector] = ()
    sections: Sections = ()
    second: Callable[[IntVector], Sequence[Values]] | None = None
    choice: int | None = None


@dataclass(frozen=True, eq=False)
class Own:
    """A client's constants.

    identity  its Ed25519 key                     random    bytes from the operating system; streams in a simulation
    authority key that signs rosters, or None     received  says what came for a round that was opened
    """

    identity: Ed25519PrivateKey
    policy: Policy
    random: Random
    received: Callable[[Open], Received]
    authority: bytes | None = None
    pinned: bytes | None = None
    public: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "public", self.identity.public_key().public_bytes_raw())


def made(values: Values, length: int) -> Float64:
    """The array itself, made now if it is made on demand."""
    array = values() if callable(values) else values
    found = np.asarray(array, np.float64)
    if found.shape != (length,):
        raise ValueError(f"a section of {length} numbers was given {found.shape}")
    return found
