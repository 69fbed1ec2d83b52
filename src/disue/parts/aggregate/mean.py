"""The weighted mean of the members' ends, with server momentum and group balance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.core.checks import Float64, IntVector, Mask, Matrix, Vector
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import Layout
from disue.core.method import Merged, View, inherit
from disue.core.orders import Orders, Sight
from disue.core.uploads import GroupSums, Uploads
from disue.core.world import World


@dataclass(frozen=True, eq=False)
class Momentum:
    """The buffers: rows follow `groups.numbers`, or one row where all clients start from one vector.

    `buffer` is (0, d) as long as there is nothing to keep.
    """

    buffer: Matrix
    groups: Groups
    single: bool = True


@dataclass(frozen=True)
class Mean:
    """Each group's model is the mean of its members' ends; the average is the mean over all members.

    momentum  v ← momentum · v + step, model ← model + v, on the server (Hsu et al. 2019)
    nesterov  model ← model + momentum · v + step
    balance   group g enters the average with weight W_g^(1 − balance): 1 counts every present group the same
    weights   "samples" or "uniform": the weight of a client
    """

    momentum: float = 0.0
    balance: float = 0.0
    weights: str = "samples"
    nesterov: bool = False
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.SUMS})

    def __post_init__(self) -> None:
        if not 0.0 <= self.momentum < 1.0:
            raise UserError(
                f"mean.momentum must lie in [0, 1), got {self.momentum}",
                key="mean.momentum",
                found=self.momentum,
            )
        if not 0.0 <= self.balance <= 1.0:
            raise UserError(
                f"mean.balance must lie in [0, 1], got {self.balance}", key="mean.balance", found=self.balance
            )
        if self.weights not in ("samples", "uniform"):
            raise UserError(
                f'mean.weights must be "samples" or "uniform", got "{self.weights}"',
                key="mean.weights",
                found=self.weights,
            )
        if self.nesterov and not self.momentum:
            raise UserError("mean.nesterov needs mean.momentum > 0, got 0", key="mean.nesterov", found=True)

    def init(self, world: World, start: Vector, groups: Groups) -> Momentum:
        return Momentum(np.zeros((0, start.size), np.float32), groups)

    def merge(
        self,
        world: World,
        memory: Momentum,
        before: View,
        groups: Groups,
        orders: Orders,
        uploads: Uploads,
        *,
        common: bool,
    ) -> Merged[Momentum]:
        return self._merged(world, memory, before, groups, orders, uploads.sums(groups), common=common)

    def _merged(
        self,
        world: World,
        memory: Momentum,
        before: View,
        groups: Groups,
        orders: Orders,
        sums: GroupSums,
        *,
        common: bool,
    ) -> Merged[Momentum]:
        """The sums are of end − origin, so a group's mean end is origin + its mean."""
        models = inherit(before.models, before.groups, groups, before.average)
        present = np.flatnonzero(sums.weights > 0)
        if not present.size:
            return Merged(models, before.average, memory)
        rows = groups.rows(sums.numbers[present])
        if common and orders.origin is not None:
            average, memory = self._one_step(world.layout, memory, orders.origin, sums, present, groups)
            for row, at in zip(rows, present, strict=True):
                models[row] = orders.origin + sums.mean(int(at))
        else:
            origin: Vector | float = 0.0 if orders.origin is None else orders.origin
            memory = self._group_steps(world.layout, memory, models, origin, sums, present, groups)
            if self.balance or self.momentum:
                ends = (models[row].astype(np.float64) for row in rows)
                average = self._weigh(sums, present, ends).astype(np.float32)
            else:
                average = (origin + sums.whole_mean()).astype(np.float32)
            if groups.numbers.size == 1 and self.momentum:
                average = models[0].copy()
        if groups.numbers.size == 1:
            models[0] = average
        return Merged(models, average, memory)

    def _weigh(self, sums: GroupSums, present: IntVector, values: Iterable[Float64]) -> Float64:
        """Σ W_g^(1 − balance) · value_g / Σ W_g^(1 − balance) over the present groups, in their order."""
        weights = sums.weights[present] ** (1.0 - self.balance)
        total = np.zeros(sums.whole.size)
        for weight, value in zip(weights, values, strict=True):
            total += weight * value
        return np.asarray(total / weights.sum(), np.float64)

    def _one_step(
        self,
        layout: Layout,
        memory: Momentum,
        origin: Vector,
        sums: GroupSums,
        present: IntVector,
        groups: Groups,
    ) -> tuple[Vector, Momentum]:
        """One buffer for all: average ← origin + v."""
        if self.balance:
            step = self._weigh(sums, present, (sums.mean(int(at)) for at in present))
        else:
            step = sums.whole_mean()
        if not self.momentum:
            return (origin + step).astype(np.float32), memory
        kept = memory.buffer[0] if memory.single and memory.buffer.size else np.zeros(layout.d, np.float32)
        move, buffer = self._pushed(kept, step, statistics(layout))
        return (origin + move).astype(np.float32), Momentum(buffer[None, :], groups, single=True)

    def _group_steps(
        self,
        layout: Layout,
        memory: Momentum,
        models: Matrix,
        origin: Vector | float,
        sums: GroupSums,
        present: IntVector,
        groups: Groups,
    ) -> Momentum:
        """One buffer per group, inherited by lineage; `models` (made here, g × d) is filled in place."""
        rows = groups.rows(sums.numbers[present])
        if not self.momentum:
            for row, at in zip(rows, present, strict=True):
                models[row] = origin + sums.mean(int(at))
            return memory
        zero = np.zeros(layout.d, np.float32)
        if memory.single or not memory.buffer.size:
            common = memory.buffer[0] if memory.buffer.size else zero
            kept = np.repeat(common[None, :], groups.numbers.size, axis=0)
        else:
            kept = inherit(memory.buffer, memory.groups, groups, zero)
        still = statistics(layout)
        for row, at in zip(rows, present, strict=True):
            step = (origin + sums.mean(int(at))) - models[row]
            move, kept[row] = self._pushed(kept[row], step, still)
            models[row] = models[row] + move
        return Momentum(kept, groups, single=False)

    def _pushed(self, kept: Vector, step: Float64, still: Mask) -> tuple[Float64, Vector]:
        """(how far to move, the new buffer). Statistics move by their step and keep no buffer."""
        v = self.momentum * kept.astype(np.float64) + step
        move = self.momentum * v + step if self.nesterov else v
        move, v = np.where(still, step, move), np.where(still, 0.0, v)
        return move, v.astype(np.float32)


def statistics(layout: Layout) -> Mask:
    """(d,) of bool: the tracked entries, such as BatchNorm's running mean; they never get momentum."""
    out = np.zeros(layout.d, bool)
    for entry in layout.entries:
        out[layout.slices[entry.name]] = entry.kind == "statistic"
    return out
