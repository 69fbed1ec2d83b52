"""SCAFFOLD (Karimireddy, Kale, Mohri, Reddi, Stich, Suresh, ICML 2020, arXiv 1910.06378), Algorithm 1, option II.

    y_i ← y_i − η (g_i(y_i) − c_i + c) .............. local = Controlled(...)
    c_i⁺ ← c_i − c + (x − y_i) / (K η) .............. Controlled.finish, the client's memory
    x ← x + η_g · mean_S (y_i − x) .................. aggregate = Corrected(server_lr=η_g)
    c ← c + |S| / N · mean_S (c_i⁺ − c_i) ........... Corrected, S those who answered

Every client weighs the same, as in the paper; K is the client's own number of steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from disue.core.checks import Array, Vector
from disue.core.clients import Local
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import Merged, View
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World
from disue.methods.composed import Composed
from disue.parts.aggregate.single import one_origin
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local.controlled import CHANGE, CONTROL, Controlled
from disue.parts.start import FromGroup


@dataclass(frozen=True, eq=False)
class Variate:
    """c of the server, (d,)."""

    control: Vector


@dataclass(frozen=True)
class Corrected:
    """The mean step of those who answered times `server_lr`; the server's variate follows the clients'."""

    server_lr: float = 1.0
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.SUMS})
    weights: ClassVar[str] = "uniform"
    extras: ClassVar[tuple[str, ...]] = (CHANGE,)

    def __post_init__(self) -> None:
        if not 0 < self.server_lr < float("inf"):
            raise UserError(
                f"scaffold.server_lr must be > 0, got {self.server_lr}", key="scaffold.server_lr", found=self.server_lr
            )

    def init(self, world: World, start: Vector, groups: Groups) -> Variate:
        return Variate(np.zeros(start.size, np.float32))

    def down(self, memory: Variate) -> Mapping[str, Array]:
        return {CONTROL: memory.control}

    def merge(
        self,
        world: World,
        memory: Variate,
        before: View,
        groups: Groups,
        orders: Orders,
        uploads: Uploads,
        *,
        common: bool,
    ) -> Merged[Variate]:
        origin = one_origin("scaffold", orders, groups)
        step, change = uploads.sums(groups), uploads.sums(groups, of=CHANGE)
        average = (origin + self.server_lr * step.whole_mean()).astype(np.float32)
        control = (memory.control + change.whole / world.census.ids.size).astype(np.float32)
        return Merged(average[None, :].copy(), average, Variate(control))


def scaffold(local: Local = Controlled(), server_lr: float = 1.0) -> Composed[Any, Any, Any]:
    """One model for everybody, trained with control variates against the drift of the clients.

    server_lr  factor of the mean step on the server
    """
    return Composed(FromGroup(), local, OneGroup(), Corrected(server_lr), NoExpert())
