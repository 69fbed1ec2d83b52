"""The mean of the members, with some tensors averaged over all clients."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from disue.core.checks import Mask
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import EVERYTHING, SHARED, Layout, Part
from disue.core.method import Merged, View
from disue.core.orders import Orders
from disue.core.uploads import Uploads
from disue.core.world import World
from disue.parts.aggregate.mean import Mean, Momentum


@dataclass(frozen=True)
class SharedMean(Mean):
    """`Mean`, but all groups' models hold the average's entries in the tensors that are shared.

    shared  those tensors, statistics included: "body", "head", or names and globs with commas between; the default is
            the shared branch of an additive model, which the model then is
    """

    shared: str = SHARED.patterns[0]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.shared.strip():
            raise UserError(
                'shared.shared must be "body", "head" or globs over tensor names, got ""; without any take "mean"',
                key="shared.shared",
                found=self.shared,
            )

    @property
    def additive(self) -> bool:
        return Part.of(self.shared) == SHARED

    def tied(self, layout: Layout) -> Mask:
        """(d,) the entries that are alike in all groups: sent once, however many models a client is sent."""
        return layout.mask(replace(Part.of(self.shared), kind=EVERYTHING.kind))

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
        out = super().merge(world, memory, before, groups, orders, uploads, common=common)
        return replace(out, models=np.where(self.tied(world.layout), out.average, out.models))
