"""All that is fixed for a run: first argument of every function of a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from disue.core.checks import Array, IntVector, Matrix, Vector, frozen
from disue.core.errors import UserError
from disue.core.layout import Layout
from disue.core.streams import Streams

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Census:
    """What the server may know beforehand: ids in any order with gaps, declared sizes, classes."""

    ids: IntVector
    sizes: IntVector
    classes: int

    @cached_property
    def ordered(self) -> IntVector:
        """The ids, ascending, read-only: sorted once, not in every round."""
        return frozen(np.sort(self.ids))


class Network(Protocol):
    """The model as a function of its flat vector. Evaluation mode unless said."""

    @property
    def layout(self) -> Layout: ...
    @property
    def input_shape(self) -> tuple[int, ...]: ...
    @property
    def input_kind(self) -> str:
        """ "image", "sequence", "text" or "vector"."""
        ...

    def logits(self, vector: Vector, inputs: Array) -> Matrix: ...
    def features(self, vector: Vector, inputs: Array) -> Matrix: ...
    def both(self, vector: Vector, inputs: Array) -> tuple[Matrix, Matrix]:
        """(logits, features) of one pass."""
        ...

    def forward(self, flat: Tensor, inputs: Tensor, train: bool = False) -> tuple[Tensor, Tensor]:
        """(logits, features), differentiable in both arguments."""
        ...

    def module(self, vector: Vector) -> nn.Module:
        """A fresh module with these weights."""
        ...


@dataclass(frozen=True, eq=False)
class World:
    """`public`: inputs that are not the clients' (rows of methods that use it are marked in tables).

    `truth`: the planted group of each client by id, for oracle baselines only (marked likewise).
    """

    layout: Layout
    census: Census
    network: Network
    streams: Streams
    rounds: int
    public: Array | None = None
    public_labels: IntVector | None = None
    truth: Mapping[int, int] | None = None
    redraw: Callable[[int], Vector] | None = None

    def fresh(self, index: int) -> Vector:
        """The index-th further, independent draw of the model's initialiser (for k-model methods)."""
        if self.redraw is None:
            raise UserError("world: this run offers no further draws of the initialiser", key="world.redraw")
        return self.redraw(index)


def declared(census: Census) -> dict[int, int]:
    """id → declared size."""
    return dict(zip(census.ids.tolist(), np.asarray(census.sizes).tolist(), strict=True))
