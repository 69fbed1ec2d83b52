"""The mean of updates that are no longer than a bound.

    x_i ← x_i · min(1, bound / ‖x_i‖) ............. `clipped`
    centre ← Σ w_i x_i / Σ w_i

Fixed: Z. Sun, P. Kairouz, A. T. Suresh, H. B. McMahan, Can You Really Backdoor Federated Learning?, 2019 (arXiv
1911.07963). Adaptive: a quantile of the norms, as in G. Andrew, O. Thakkar, H. B. McMahan, S. Ramaswamy, Differentially
Private Learning with Adaptive Clipping, NeurIPS 2021 (arXiv 1905.03871); they estimate it over the rounds from noisy
counts, here norms are seen, and it is the quantile of this round, over all groups, so that a group full of liars does
not set its own.

A fixed bound has no breakdown point: each liar moves its group by its share times the bound, and no further. A quantile
breaks where more than a share 1 − quantile of the cohort lies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from disue.core.checks import Float64
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.world import World
from disue.parts.aggregate.robust.base import Centres, Sample
from disue.parts.aggregate.robust.bucketed import Bucketed
from disue.parts.expert import ranges


@dataclass(frozen=True)
class Clipped(Bucketed):
    """The mean of updates cut to a bound on their norm.

    bound     the largest norm; inf: the mean itself; 0: the quantile of this round's norms, over all groups
    quantile  with bound = 0: the share of updates that may pass as they are
    """

    bound: float = 0.0
    quantile: float = 0.5
    name: ClassVar[str] = "clipped"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.bound, bool) or not self.bound >= 0:
            raise UserError(f"clipped.bound must be ≥ 0, got {self.bound}", key="clipped.bound", found=self.bound)
        ranges.number("clipped.quantile", self.quantile, 0.0, 1.0)

    @property
    def idle(self) -> bool:
        return math.isinf(self.bound) and self.buckets == 1

    def centres(self, world: World, round: int, memory: Any, samples: Mapping[int, Sample], groups: Groups) -> Centres:
        norms = {number: lengths(sample.rows) for number, sample in samples.items()}
        every = np.concatenate([np.zeros(0), *norms.values()])
        bound = self.bound
        if not bound and every.size:  # a norm that was sent, none between two of which one may be a liar's
            bound = float(np.quantile(every, self.quantile, method="lower"))
        found = {
            number: np.asarray(np.average(clipped(sample.rows, norms[number], bound), axis=0, weights=sample.weights))
            for number, sample in samples.items()
        }
        share = float((every > bound).mean()) if every.size else 0.0
        return Centres(found, {}, memory, {"clipped.bound": bound, "clipped.share": share})


def lengths(rows: Float64) -> Float64:
    """(m,) Euclidean norms."""
    return np.asarray(np.sqrt((rows**2).sum(axis=1)), np.float64)


def clipped(rows: Float64, norms: Float64, bound: float) -> Float64:
    """Rows no longer than `bound`; shorter ones are as they were."""
    factors = np.where(norms > bound, bound / np.where(norms > 0, norms, 1.0), 1.0)
    return rows * factors[:, None]
