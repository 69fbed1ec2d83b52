"""FedNova (Wang, Liu, Liang, Joshi, Poor, NeurIPS 2020, arXiv 2007.07481), section 4.

    d_i = Δ_i / a_i, a_i = ‖a_i‖₁ .................. local = Normalised(...), which sends start + d_i and a_i
    τ_eff = Σ p_i a_i .............................. aggregate = Rescaled
    w ← w + τ_eff Σ p_i d_i ........................ Rescaled

a_i follows from the local optimiser's recursion: the number of steps for plain SGD, the sum of its momentum's weights
otherwise. Where all a_i are equal this is FedAvg, up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from disue.core.checks import Vector
from disue.core.clients import Local
from disue.core.groups import Groups
from disue.core.method import Info, Merged, View
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World
from disue.methods.composed import Composed
from disue.parts.aggregate.mean import statistics
from disue.parts.aggregate.single import one_origin
from disue.parts.expert import NoExpert
from disue.parts.grouping import Nothing, OneGroup
from disue.parts.local import Normalised
from disue.parts.local.normalised import LENGTH
from disue.parts.start import FromGroup


@dataclass(frozen=True)
class Rescaled:
    """The mean step per effective step, times the mean number of effective steps."""

    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.SUMS})
    weights: ClassVar[str] = "samples"
    extras: ClassVar[tuple[str, ...]] = (LENGTH,)

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
        origin = one_origin("fednova", orders, groups)
        step = uploads.sums(groups).whole_mean()
        length = float(uploads.sums(groups, of=LENGTH).whole_mean()[0])
        move = np.where(statistics(world.layout), step, length * step)
        average = (origin + move).astype(np.float32)
        return Merged(average[None, :].copy(), average, memory, Info({"fednova.steps": length}))


def fednova(local: Local = Normalised()) -> Composed[Any, Any, Any]:
    """One model for everybody; a client that takes more steps does not pull harder."""
    return Composed(FromGroup(), local, OneGroup(), Rescaled(), NoExpert())
