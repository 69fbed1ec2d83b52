"""Group models as means over all who answered, each with its share in the group (FedSoft)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.core.checks import Float64, IntVector, Vector
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import Merged, View, inherit
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World, declared
from disue.parts.shares import SIGMA, check_sigma, floored


@dataclass(frozen=True)
class Nothing:
    """The memory of a part that keeps none."""


@dataclass(frozen=True)
class SoftMean:
    """A group's model is Σ u n · end / Σ u n over the cohort, u a client's share in the group and n its samples.

    draws  > 0: the plain mean of so many clients instead, drawn for each group from the cohort with chances ∝ u n
    sigma  the share that stands for none
    """

    draws: int = 0
    sigma: float = SIGMA
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.SUMS, Sight.CHOICE})

    def __post_init__(self) -> None:
        if self.draws < 0:
            raise UserError(f"soft.draws must be ≥ 0, got {self.draws}", key="soft.draws", found=self.draws)
        check_sigma("soft", self.sigma)

    @property
    def weights(self) -> str:
        return "uniform" if self.draws else "samples"

    def init(self, world: World, start: Vector, groups: Groups) -> Nothing:
        return Nothing()

    def merge(
        self,
        world: World,
        memory: Nothing,
        before: View,
        groups: Groups,
        orders: Orders,
        uploads: Uploads,
        *,
        common: bool,
    ) -> Merged[Nothing]:
        models = inherit(before.models, before.groups, groups, before.average)
        shares = floored(uploads.choice(), self.sigma)
        if self.draws:
            shares = self._drawn(world, orders.round, groups.numbers, uploads.ids, shares)
        sums = uploads.sums(groups, shares=shares)
        origin: Vector | float = 0.0 if orders.origin is None else orders.origin
        for row in np.flatnonzero(sums.weights > 0).tolist():
            models[row] = origin + sums.mean(row)
        average = (origin + sums.whole_mean()).astype(np.float32)
        return Merged(models, average, memory)

    def _drawn(self, world: World, round: int, numbers: IntVector, ids: IntVector, shares: Float64) -> Float64:
        """(n, k) one for each client that a group has drawn, in the order of ids; else zero."""
        sizes = declared(world.census)
        chances = shares * np.array([sizes[int(i)] for i in ids], np.float64)[:, None]
        out = np.zeros_like(shares)
        for column, number in enumerate(numbers.tolist()):
            rng, chance = world.streams("draws", round, number), chances[:, column] / chances[:, column].sum()
            out[rng.choice(ids.size, min(self.draws, ids.size), replace=False, p=chance), column] = 1.0
        return out
