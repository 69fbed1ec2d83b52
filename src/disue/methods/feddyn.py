"""FedDyn (Acar, Zhao, Matas, Mattina, Whatmough, Saligrama, ICLR 2021, arXiv 2111.04263), Algorithm 1.

    θ_k ≈ argmin L_k(θ) − ⟨h_k, θ⟩ + α/2 ‖θ − θ^{t−1}‖² ... local = Dynamic(alpha=α)
    h_k ← h_k − α (θ_k − θ^{t−1}) ......................... Dynamic.finish, the client's memory
    h ← h − α/m Σ_{k∈P} (θ_k − θ^{t−1}) ................... aggregate = DriftCorrected: q̄ = −h/α, m clients in all
    θ^t ← mean_P θ_k − h/α ................................ DriftCorrected: what is sent

What is scored is the mean of the cohort, mean_P θ_k, as in the authors' experiments; what is sent is θ^t. Every client
weighs the same. Known to grow without bound late in training when few take part: `feddyn.drift` is ‖q̄‖.
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
from disue.parts.aggregate import Mean
from disue.parts.aggregate.mean import statistics
from disue.parts.aggregate.single import one_origin
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local import Dynamic
from disue.parts.start import FromGroup


@dataclass(frozen=True, eq=False)
class Drift:
    """q̄ of the server, (d,): the mean over all clients of their q_i."""

    mean: Vector


@dataclass(frozen=True)
class DriftCorrected:
    """The mean of the cohort's ends is the average; the mean plus q̄ is what the next round starts from."""

    sends_other: ClassVar[bool] = True
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.SUMS})
    weights: ClassVar[str] = "uniform"

    def init(self, world: World, start: Vector, groups: Groups) -> Drift:
        return Drift(np.zeros(start.size, np.float32))

    def merge(
        self,
        world: World,
        memory: Drift,
        before: View,
        groups: Groups,
        orders: Orders,
        uploads: Uploads,
        *,
        common: bool,
    ) -> Merged[Drift]:
        origin = one_origin("feddyn", orders, groups)
        step = uploads.sums(groups)
        moved = np.where(statistics(world.layout), 0.0, step.whole) / world.census.ids.size
        drift = (memory.mean + moved).astype(np.float32)
        average = (origin + step.whole_mean()).astype(np.float32)
        sent = average + drift
        norm = float(np.linalg.norm(drift.astype(np.float64)))
        return Merged(sent[None, :].copy(), average, Drift(drift), Info({"feddyn.drift": norm}))


def feddyn(local: Local = Dynamic()) -> Composed[Any, Any, Any]:
    """One model for everybody; a regulariser makes the clients' optima those of the whole.

    With alpha = 0 it is FedAvg with equal weights, bit for bit.
    """
    if isinstance(local, Dynamic) and not local.alpha:
        return Composed(FromGroup(), local, OneGroup(), Mean(weights="uniform"), NoExpert())
    return Composed(FromGroup(), local, OneGroup(), DriftCorrected(), NoExpert())
