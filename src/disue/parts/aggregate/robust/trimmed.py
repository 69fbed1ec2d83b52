"""The coordinate-wise trimmed mean.

D. Yin, Y. Chen, K. Ramchandran, P. Bartlett, Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates,
ICML 2018 (arXiv 1803.01498), Algorithm 1, Option II.

    remove the largest and the smallest fraction β of { x_ik } .. `dropped` at each end
    centre_k ← mean of the rest ................................. by weight

Bears as many liars in a group as it drops at each end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.core.checks import Float64
from disue.core.errors import UserError
from disue.parts.aggregate.robust.base import Sample
from disue.parts.aggregate.robust.bucketed import Bearing


@dataclass(frozen=True)
class Trimmed(Bearing):
    """The mean of each coordinate without its largest and its smallest values.

    trim  β, the share of a group's members dropped at each end, rounded up, and at least `liars` of them; 0 with
          liars = 0 is the mean
    """

    trim: float = 0.0
    name: ClassVar[str] = "trimmed"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.trim, bool) or not 0 <= self.trim < 0.5:
            raise UserError(f"trimmed.trim must lie in [0, 0.5), got {self.trim}", key="trimmed.trim", found=self.trim)

    @property
    def idle(self) -> bool:
        return not self.trim and not self.liars and self.buckets == 1

    def dropped(self, rows: int) -> int:
        """At each end of so many."""
        return max(math.ceil(self.trim * rows - 1e-9), self.liars)  # 0.1 · 30 is 3, and not 4

    def centre(self, sample: Sample) -> Float64 | str:
        rows = sample.rows.shape[0]
        cut = self.dropped(rows)
        if 2 * cut >= rows:
            return f"dropping {cut} at each end leaves none of {rows}"
        by_weight = np.argsort(sample.weights, kind="stable")  # equal values go by weight, so that ids decide nothing
        values, weights = sample.rows[by_weight], sample.weights[by_weight]
        order = np.argsort(values, axis=0, kind="stable")[cut : rows - cut]
        kept = np.zeros(values.shape, bool)
        np.put_along_axis(kept, order, True, axis=0)
        share = kept * weights[:, None]
        return np.asarray((share * np.where(kept, values, 0.0)).sum(axis=0) / share.sum(axis=0), np.float64)
