"""A classifier taught on features drawn from every client's own mixtures, on a body that stays: once, for use only.

`warmup` rounds of the host's training make the body; then nobody trains any more
clients   for each class a mixture of `components` Gaussians of their features: all clients, once
server    as many features as a client has samples, from its mixtures; `steps` of SGD on a classifier from zero
expert    the average with that classifier
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.core.checks import Float64, IntVector, Vector
from disue.core.method import NONE, Info, Made, Making
from disue.core.orders import Orders, Report, Sight
from disue.core.uploads import Uploads
from disue.core.world import World
from disue.parts.expert import heads, ranges
from disue.parts.expert.closing import Closing
from disue.parts.expert.fit import replaced
from disue.parts.expert.heads import Head, Teaching
from disue.parts.expert.mixtures import (
    COUNTS,
    COVARIANCES,
    MEANS,
    SENT,
    SPREADS,
    WEIGHTS,
    Mixtures,
    draws,
    spread_shape,
)


@dataclass(frozen=True)
class FeatureTransfer(Closing):
    """The average with a classifier taught on features drawn from the clients' mixtures; nothing starts from it.

    components  Gaussians to a class, at each client
    covariance  of a component: "full", "diag" or "spherical"
    steps       steps of SGD on the classifier, in batches of 100 with momentum 0.9; 0: the host, and nothing is asked
    lr          learning rate of that SGD
    warmup      rounds of training that make the body; 0: the body that the run begins with
    """

    components: int = 1
    covariance: str = "full"
    steps: int = 300
    lr: float = 0.05
    warmup: int = 10
    serves: ClassVar[bool] = True

    def __post_init__(self) -> None:
        ranges.whole("expert.components", self.components, 1)
        ranges.name("expert.covariance", self.covariance, COVARIANCES)
        ranges.whole("expert.steps", self.steps, 0)
        ranges.number("expert.lr", self.lr, 0.0)
        ranges.whole("expert.warmup", self.warmup, 0)

    @property
    def sight(self) -> frozenset[Sight]:
        return frozenset({Sight.VECTORS}) if self.steps else NONE

    def init(self, world: World, start: Vector) -> None:
        return None

    def make(self, world: World, memory: None, making: Making) -> Made[None]:
        return Made(making.average, None)

    def head_scale(self, memory: None) -> float:
        return 1.0

    def done(self, round: int, memory: None) -> bool:
        return round >= self.warmup

    def closing(self, world: World, round: int, average: Vector) -> Orders | None:
        if not self.steps or round != min(self.warmup, world.rounds):
            return None
        probe = Mixtures(self.components, self.covariance)
        return self.asked(world, round, average, Report(sight=self.sight, extras=SENT), probe)

    def close(self, world: World, memory: None, making: Making) -> Made[None]:
        layout, average = world.layout, making.average
        features, labels = self.drawn(making.uploads, layout.features, world.streams("transfer", making.round))
        seen = np.bincount(labels, minlength=layout.classes) > 0
        values = {"transfer.classes": float(seen.sum()), "transfer.features": float(labels.size)}
        if seen.sum() < 2:
            note = f"round {making.round}: fewer than two classes were sent, the averaged classifier is kept"
            return Made(average, None, Info(values, (note,)))
        zero = Head(np.zeros((layout.classes, layout.features)), np.zeros(layout.classes))
        rng = world.streams("transfer-head", making.round)
        taught = heads.taught(zero, features, labels, Teaching(self.steps, self.lr), rng)
        values["transfer.loss"] = heads.cross_entropy(taught.logits(features), labels)
        expert = replaced(layout, average, taught, np.ones(layout.classes, bool))
        if not np.isfinite(expert).all():
            note = f"round {making.round}: the taught classifier is not finite, the averaged one is kept"
            return Made(average, None, Info({}, (note,)))
        return Made(expert, None, Info(values))

    def drawn(self, uploads: Uploads, features: int, rng: np.random.Generator) -> tuple[Float64, IntVector]:
        """(n, F) features and (n,) labels: of every client in the order of ids, of every class that it sent."""
        k, shape = self.components, spread_shape(self.covariance, features)
        counts = uploads.vectors(COUNTS)
        weights, means, spreads = (uploads.vectors(name) for name in (WEIGHTS, MEANS, SPREADS))
        rows, labels = [np.zeros((0, features))], [np.zeros(0, np.int64)]
        for client, label in np.argwhere(counts > 0).tolist():
            amount = int(counts[client, label])
            own = weights[client].reshape(-1, k), means[client].reshape(-1, k, features)
            spread = spreads[client].reshape(-1, k, *shape)[label]
            rows.append(draws(amount, own[0][label], own[1][label], spread, self.covariance, rng))
            labels.append(np.full(amount, label, np.int64))
        return np.concatenate(rows), np.concatenate(labels)
