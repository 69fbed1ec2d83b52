"""Means with intervals, paired differences, tests of a few named comparisons, ranks over settings.

A seed fixes partition, initial weights, cohorts and batches, so rows are compared in pairs by seed. Three seeds
describe: nothing is tested with fewer than `ENOUGH`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

ENOUGH = 5  # seeds, below which no difference is tested
LEVEL = 0.05
SETTINGS = 6  # below which rows are not ranked over settings
ROWS = 3  # the same for rows


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


def differences(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    """ours − theirs, over the seeds that both have."""
    return [ours[seed] - theirs[seed] for seed in sorted(set(ours) & set(theirs))]


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Mean | None:
    """The mean difference over the seeds that both have; None where they share none."""
    found = differences(ours, theirs)
    return mean(found) if found else None


def t_test(found: Sequence[float]) -> float | None:
    """Two-sided p of the paired t-test on differences; None with fewer than `ENOUGH`.

    >>> round(t_test([1.0, 2.0, 3.0, 4.0, 5.0]), 4)     # t = 3 / (√2.5 / √5) = 4.243 with 4 degrees of freedom
    0.0132
    """
    n = len(found)
    if n < ENOUGH:
        return None
    centre = math.fsum(found) / n
    s = math.sqrt(math.fsum((v - centre) ** 2 for v in found) / (n - 1))
    if s == 0.0:
        return 1.0 if centre == 0.0 else 0.0
    return float(2.0 * stats.t.sf(abs(centre) / (s / math.sqrt(n)), n - 1))


def holm(p: Sequence[float | None], family: int) -> list[float | None]:
    """Adjusted p of a family of comparisons, those of which nothing is known yet (None) counted in it.

    The j-th smallest is multiplied by family − j + 1; none is smaller than one before it, none above 1.

    >>> holm([0.01, 0.04, 0.03, None], 4)
    [0.04, 0.09, 0.09, None]
    """
    out: list[float | None] = [None] * len(p)
    least = 0.0
    known = sorted((value, at) for at, value in enumerate(p) if value is not None)
    for rank, (value, at) in enumerate(known):
        least = max(least, min(1.0, value * (family - rank)))
        out[at] = least
    return out


@dataclass(frozen=True)
class Ranks:
    """Mean ranks over settings (1 is best); rows closer than `critical` (Nemenyi, 5 %) are not told apart.

    p  Friedman's test that all rows are alike
    """

    ranks: Mapping[str, float]
    settings: int
    critical: float
    p: float


def ranks(scores: Mapping[str, Sequence[float]]) -> Ranks | None:
    """From one score per setting and row, larger being better; None below `SETTINGS` settings or `ROWS` rows.

    Critical difference: q(0.05, k, ∞) / √2 · √(k (k + 1) / (6 n)) for k rows and n settings (Demšar, 2006).
    """
    lengths = {len(values) for values in scores.values()}
    k, n = len(scores), min(lengths, default=0)
    if k < ROWS or n < SETTINGS or len(lengths) > 1:
        return None
    table = np.array(list(scores.values()))
    placed = stats.rankdata(-table, axis=0).mean(axis=1)
    q = float(stats.studentized_range.ppf(1 - LEVEL, k, np.inf)) / math.sqrt(2)
    alike = bool(np.ptp(table, axis=0).max() == 0.0)
    p = 1.0 if alike else float(stats.friedmanchisquare(*table).pvalue)
    return Ranks(dict(zip(scores, placed.tolist(), strict=True)), n, q * math.sqrt(k * (k + 1) / (6 * n)), p)
