"""What clients do in an exchange, as both sides name it; how it reaches them is the field's matter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from disue.core.checks import IntVector, Vector
from disue.core.orders import Orders


@dataclass(frozen=True, eq=False)
class Train:
    """The orders of a round of training, or of a survey."""

    orders: Orders


@dataclass(frozen=True)
class Count:
    """How many samples of each class: of a lot, once in a run."""


@dataclass(frozen=True, eq=False)
class Measure:
    """Class moments of the features under a vector, with `against` also what transport needs."""

    under: Vector
    against: Vector | None
    per_class: bool


Task: TypeAlias = Train | Count | Measure


class Wire(Protocol):
    """Carries messages to roster indices and brings back what they answer until the deadline."""

    def send(self, messages: Sequence[tuple[int, bytes]]) -> Iterable[tuple[int, bytes]]: ...


class Field(Protocol):
    """Where the clients are: in this process, or behind a network."""

    def wire(self, task: Task, ids: IntVector, number: int) -> Wire:
        """A way to those clients, who have been told their task. number: of the exchange."""
        ...

    def extra_sizes(self, orders: Orders) -> dict[str, int]:
        """How many numbers each further array has that goes up."""
        ...
