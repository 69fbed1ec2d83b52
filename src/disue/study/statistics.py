"""Means with intervals, and paired differences: comparisons are paired by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Mean:
    """A mean over n seeds, with the least and the largest value.

    `half` is the half-width of the 95 % t-interval, NaN for one seed.
    """

    mean: float
    half: float
    n: int
    low: float
    high: float

    @property
    def apart(self) -> bool:
        """Whether the interval excludes zero."""
        return self.n > 1 and abs(self.mean) > self.half


def mean(values: Sequence[float]) -> Mean:
    """mean ± t(0.975, n − 1) · s / √n.

    >>> m = mean([1.0, 2.0, 3.0]); round(m.half, 2)
    2.48
    """
    n = len(values)
    centre = math.fsum(values) / n
    if n < 2:
        return Mean(centre, math.nan, n, *values, *values)
    s = math.sqrt(math.fsum((v - centre) ** 2 for v in values) / (n - 1))
    return Mean(centre, float(stats.t.ppf(0.975, n - 1)) * s / math.sqrt(n), n, min(values), max(values))


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Mean | None:
    """The mean difference over the seeds that both have; None where they share none."""
    seeds = sorted(set(ours) & set(theirs))
    return mean([ours[s] - theirs[s] for s in seeds]) if seeds else None
