"""The server as an adaptive optimiser: Adam's and Yogi's rule on the mean step of the cohort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.core.checks import Vector
from disue.core.errors import UserError, unknown
from disue.core.groups import Groups
from disue.core.method import Merged, View
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World
from disue.parts.aggregate.mean import statistics
from disue.parts.aggregate.single import one_origin

RULES = ("adam", "yogi")


@dataclass(frozen=True, eq=False)
class Moments:
    """First and second moment of the steps, each (d,); the second is float64, as its root is taken."""

    first: Vector
    second: Vector


@dataclass(frozen=True)
class Adaptive:
    """model ← model + server_lr · m / (√v + tau), without a correction of the bias (Reddi et al. 2021, Alg. 2).

    m ← beta1 · m + (1 − beta1) · Δ, where Δ is the mean step, v₀ = tau², and
    adam: v ← beta2 · v + (1 − beta2) · Δ²      yogi: v ← v − (1 − beta2) · Δ² · sign(v − Δ²)

    Tracked statistics move by their mean step.

    rule       "adam" or "yogi"
    server_lr  factor of the step
    beta1      decay of the first moment
    beta2      decay of the second moment
    tau        added to the root; it sets the size of a step more than server_lr does
    weights    "samples" or "uniform": the weight of a client
    """

    rule: str = "adam"
    server_lr: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3
    weights: str = "samples"
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.SUMS})

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise unknown("adaptive.rule", self.rule, RULES)
        for key, value, holds, allowed in (
            ("server_lr", self.server_lr, 0 < self.server_lr < float("inf"), "> 0"),
            ("beta1", self.beta1, 0 <= self.beta1 < 1, "in [0, 1)"),
            ("beta2", self.beta2, 0 <= self.beta2 < 1, "in [0, 1)"),
            ("tau", self.tau, 0 < self.tau < float("inf"), "> 0"),
        ):
            if not holds:
                raise UserError(f"adaptive.{key} must be {allowed}, got {value}", key=f"adaptive.{key}", found=value)
        if self.weights not in ("samples", "uniform"):
            raise unknown("adaptive.weights", self.weights, ("samples", "uniform"))

    def init(self, world: World, start: Vector, groups: Groups) -> Moments:
        return Moments(np.zeros(start.size, np.float32), np.full(start.size, self.tau**2, np.float32))

    def merge(
        self,
        world: World,
        memory: Moments,
        before: View,
        groups: Groups,
        orders: Orders,
        uploads: Uploads,
        *,
        common: bool,
    ) -> Merged[Moments]:
        origin = one_origin("adaptive", orders, groups)
        step, still = uploads.sums(groups).whole_mean(), statistics(world.layout)
        first = self.beta1 * memory.first + (1 - self.beta1) * step
        square, second = step**2, memory.second.astype(np.float64)
        if self.rule == "adam":
            second = self.beta2 * second + (1 - self.beta2) * square
        else:
            second = second - (1 - self.beta2) * square * np.sign(second - square)
        move = np.where(still, step, self.server_lr * first / (np.sqrt(second) + self.tau))
        average = (origin + move).astype(np.float32)
        kept = Moments(first.astype(np.float32), second.astype(np.float32))
        return Merged(average[None, :].copy(), average, kept)
