"""pFedMe (Dinh, Tran, Nguyen, NeurIPS 2020, arXiv 2006.08848), Algorithm 1.

    θ̃ ≈ argmin_θ f(θ; D) + λ/2 ‖θ − w_i‖² ........ local = Moreau(tether=λ): `inner` steps of rate own_lr on one batch
    w_i ← w_i − η λ (w_i − θ̃) .................... and a step of rate lr of the shared model, for each batch
    w ← (1 − β) w + β Σ_i p_i w_i ................. grouping = OneGroup(), aggregate = Mean(), or Relaxed(beta=β)

A client uses θ, its memory; the global model is w. As in the authors' code θ starts at the received model and goes on
from batch to batch, and members weigh by their samples. R of the paper is the number of batches, here `steps` or
`epochs` of them; each costs `inner` gradients. Published: λ = 15, five inner steps, η = 0.005, own_lr about 0.1,
batches of 20, R = 20, β = 1 (2 where tuned).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from disue.core.checks import Vector
from disue.core.clients import Local
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import Merged, View
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.aggregate.mean import statistics
from disue.parts.aggregate.single import one_origin
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local import Moreau
from disue.parts.start import FromGroup


@dataclass(frozen=True)
class Relaxed:
    """model ← (1 − beta) · model + beta · mean of the ends; tracked statistics become their mean.

    beta  1: the mean; above it, beyond the mean
    """

    beta: float = 1.0
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.SUMS})
    weights: ClassVar[str] = "samples"

    def __post_init__(self) -> None:
        if not 0 < self.beta < float("inf"):
            raise UserError(f"pfedme.beta must be > 0, got {self.beta}", key="pfedme.beta", found=self.beta)

    def init(self, world: World, start: Vector, groups: Groups) -> None:
        return None

    def merge(
        self,
        world: World,
        memory: None,
        before: View,
        groups: Groups,
        orders: Orders,
        uploads: Uploads,
        *,
        common: bool,
    ) -> Merged[None]:
        origin = one_origin("pfedme", orders, groups)
        step = uploads.sums(groups).whole_mean()
        factor = np.where(statistics(world.layout), 1.0, self.beta)
        average = (origin + factor * step).astype(np.float32)
        return Merged(average[None, :].copy(), average, None)


def pfedme(local: Local = Moreau(), beta: float = 1.0) -> Composed[Any, Any, Any]:
    """One model for everybody, near which each client keeps one of its own.

    beta  of the server: w ← (1 − beta) · w + beta · mean of the cohort
    """
    return Composed(FromGroup(), local, OneGroup(), Mean() if beta == 1.0 else Relaxed(beta), NoExpert())
