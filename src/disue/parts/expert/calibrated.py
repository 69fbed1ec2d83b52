"""The average with its classifier re-taught on features drawn from the classes' Gaussians, for use only.

    clients   n_c, Σ φ, Σ φ φᵀ by class under the average: all of them, in an exchange after the round
    server    μ_c, Σ_c (unbiased) of all clients' features together; `features` draws of N(μ_c, Σ_c) for each class;
              `steps` of SGD on the averaged head
    expert    the average with that head; the next round starts from the average all the same

With clients k this is μ_c = Σ_k N_kc μ_kc / N_c and Σ_c = (Σ_k (N_kc − 1) Σ_kc + Σ_k N_kc μ_kc μ_kcᵀ − N_c μ_c μ_cᵀ) /
(N_c − 1), since both are moments of the union: sums over clients suffice, and no client is seen by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.core.checks import Float64, Mask, Vector
from disue.core.groups import Groups
from disue.core.method import NONE, Info, Made, Making
from disue.core.orders import Orders, Report, Sight
from disue.core.world import World
from disue.parts.expert import heads, ranges, store
from disue.parts.expert.closing import Closing
from disue.parts.expert.fit import averaged_head, replaced
from disue.parts.expert.heads import Teaching
from disue.parts.expert.store import Measured


@dataclass(frozen=True)
class Calibrated(Closing):
    """The average with a classifier calibrated on virtual features; nothing starts from it.

    features  virtual features of each class
    steps     steps of SGD on the classifier, in batches of 100 with momentum 0.9; 0 is the average, bit for bit
    lr        learning rate of that SGD
    positive  virtual features below 0 become 0, as features behind a ReLU are
    last      the classifier is calibrated after each of the last so many rounds, which are those that are always
              evaluated; 1: once, after training; 0: never
    """

    features: int = 200
    steps: int = 300
    lr: float = 0.05
    positive: bool = False
    last: int = 10
    serves: ClassVar[bool] = True

    def __post_init__(self) -> None:
        ranges.whole("expert.features", self.features, 1)
        ranges.whole("expert.steps", self.steps, 0)
        ranges.number("expert.lr", self.lr, 0.0)
        ranges.switch("expert.positive", self.positive)
        ranges.whole("expert.last", self.last, 0)

    @property
    def sight(self) -> frozenset[Sight]:
        return frozenset({Sight.MOMENTS}) if self.steps and self.last else NONE

    def init(self, world: World, start: Vector) -> None:
        return None

    def make(self, world: World, memory: None, making: Making) -> Made[None]:
        return Made(making.average, None)

    def head_scale(self, memory: None) -> float:
        return 1.0

    def closing(self, world: World, round: int, average: Vector) -> Orders | None:
        if not self.steps or not round > 0 or not world.rounds - self.last < round:
            return None
        return self.asked(world, round, average, Report(sight=self.sight))

    def close(self, world: World, memory: None, making: Making) -> Made[None]:
        layout, average = world.layout, making.average
        moments = making.uploads.moments(Groups.one(making.uploads.ids), per_class=True)
        store.check(moments, layout.classes, layout.features)
        found = store.measured(moments, per_class=True)
        seen = found.counts > 0
        values = {"calibration.classes": float(seen.sum())}
        gaussians = covariances(found, seen)
        if seen.sum() < 2 or gaussians is None or not store.finite(moments):
            note = f"round {making.round}: too little is known of the features, the averaged classifier is kept"
            return Made(average, None, Info(values, (note,)))
        labels = np.repeat(np.arange(seen.sum()), self.features)
        rng = world.streams("calibration", making.round)
        roots = [heads.root(sigma) for sigma in gaussians]
        drawn = heads.virtual(found.means[seen], roots, labels, rng, positive=self.positive)
        before = averaged_head(layout, average, seen)
        taught = heads.taught(before, drawn, labels, Teaching(self.steps, self.lr), rng)
        values["calibration.loss_before"] = heads.cross_entropy(before.logits(drawn), labels)
        values["calibration.loss"] = heads.cross_entropy(taught.logits(drawn), labels)
        expert = replaced(layout, average, taught, seen)
        if not np.isfinite(expert).all():
            note = f"round {making.round}: the calibrated classifier is not finite, the averaged one is kept"
            return Made(average, None, Info({"calibration.classes": values["calibration.classes"]}, (note,)))
        return Made(expert, None, Info(values))


def covariances(found: Measured, seen: Mask) -> list[Float64] | None:
    """Σ_c, unbiased, of the classes seen; the pooled one within classes for a class of one sample, None without any."""
    pooled = found.scatter / found.freedom if found.freedom > 0 else None
    out = []
    for scatter, freedom in zip(found.own[seen], found.own_freedom[seen].tolist(), strict=True):
        sigma = scatter / freedom if freedom > 0 else pooled
        if sigma is None:
            return None
        out.append(heads.symmetric(sigma))
    return out
