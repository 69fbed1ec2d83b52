"""Attacks on what an expert is made of: class moments of the features, and label counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.attacks.knowledge import Attack, Moments
from disue.attacks.poison import known
from disue.attacks.simple import finite
from disue.core.checks import Float64, IntVector


@dataclass(frozen=True)
class FalseMoments(Attack):
    """Sends class moments whose class means are mirrored about their mean: a head made of them points backwards.

    Knows its own moments. The mean of class c becomes centre − scale · (mean_c − centre), centre the mean of all its
    features; counts stay, and second moments follow the means, so that the scatter within classes is what it was. No
    published attack is followed.

    scale  how many times as far on the other side
    """

    measured: ClassVar[bool] = True
    scale: float = 1.0

    def __post_init__(self) -> None:
        finite("scale", self.scale, low=0)

    def moments(self, true: Moments, without: IntVector) -> Moments:
        counts, sums, second, xx, xy = true
        total = int(counts.sum())
        if not total:
            return true
        means = sums / np.maximum(counts, 1)[:, None]
        centre = sums.sum(axis=0) / total
        mirrored = np.where((counts > 0)[:, None], centre - self.scale * (means - centre), 0.0)
        n = counts.astype(np.float64)
        if second.ndim == 3:
            moved = n[:, None, None] * (_outer(mirrored) - _outer(means))
        else:
            moved = (mirrored.T * n) @ mirrored - (means.T * n) @ means
        return counts, n[:, None] * mirrored, second + moved, xx, xy


@dataclass(frozen=True)
class FalseCounts(Attack):
    """Says to hold many more samples of one class than it does, in its label counts and in its moments.

    Knows its own counts and moments. It claims factor times all its samples more of class `label`, each with the mean
    of all its features, so that counts, sums and second moments fit together. Its weight in sums of updates is not
    touched. No published attack is followed.

    label   the class
    factor  how many times all its own samples
    """

    counted: ClassVar[bool] = True
    label: int = 0
    factor: float = 1.0

    def __post_init__(self) -> None:
        finite("factor", self.factor, low=0)

    def fits(self, classes: int) -> None:
        known(self.label, classes, "label")

    def counts(self, labels: IntVector) -> IntVector:
        out = np.array(labels, np.int64)
        out[self.label] += round(self.factor * int(labels.sum()))
        return out

    def moments(self, true: Moments, without: IntVector) -> Moments:
        counts, sums, second, xx, xy = true
        total = int(counts.sum())
        more = round(self.factor * total)
        if not more or self.label in without.tolist():
            return true
        mean = sums.sum(axis=0) / total
        claimed, added, squares = counts.copy(), sums.copy(), second.copy()
        claimed[self.label] += more
        added[self.label] += more * mean
        if second.ndim == 3:
            squares[self.label] += more * np.outer(mean, mean)
        else:
            squares += more * np.outer(mean, mean)
        if xx is not None and xy is not None:
            before = xx[-1] / xx[-1, -1]  # the last row holds Σ [φ; 1]
            xx, xy = xx + more * np.outer(before, before), xy + more * np.outer(before, mean)
        return claimed, added, squares, xx, xy


def _outer(rows: Float64) -> Float64:
    return rows[:, :, None] * rows[:, None, :]
