"""Bulyan: Krum chooses whom to hear, and each coordinate is the mean of what lies closest to its median.

E. M. El Mhamdi, R. Guerraoui, S. Rouault, The Hidden Vulnerability of Distributed Learning in Byzantium, ICML 2018
(arXiv 1802.07927), Algorithm "Bulyan(Krum)".

    θ = n − 2 f times: choose by Krum among the rest, and take it out ... `chosen`
    β = θ − 2 f; each coordinate: mean of the β closest to the median .. `closest`

Needs n ≥ 4 f + 3. Krum among the rest counts n' − f − 2 neighbours of the n' that are left, and at least one: towards
the end fewer than 2 f + 3 are left. Every member has one voice; weights count between groups only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.core.checks import Float64, IntVector
from disue.parts.aggregate.robust.base import Sample
from disue.parts.aggregate.robust.bucketed import Bearing
from disue.parts.aggregate.robust.krum import ranking, squares


@dataclass(frozen=True)
class Bulyan(Bearing):
    """Krum's choice of n − 2 f members, then per coordinate the mean of the n − 4 f values closest to the median."""

    name: ClassVar[str] = "bulyan"

    @property
    def least_rows(self) -> int:
        return 4 * self.liars + 3

    def centre(self, sample: Sample) -> Float64 | str:
        theta = sample.rows.shape[0] - 2 * self.liars
        return closest(sample.rows[chosen(sample.rows, self.liars, theta)], theta - 2 * self.liars)


def chosen(rows: Float64, liars: int, many: int) -> IntVector:
    """(many,) rows that Krum takes one by one, ascending."""
    distances, left, out = squares(rows), np.arange(rows.shape[0]), []
    for _ in range(many):
        best = int(ranking(distances[np.ix_(left, left)], liars)[0]) if left.size > 1 else 0
        out.append(int(left[best]))
        left = np.delete(left, best)
    return np.array(sorted(out), np.int64)


def closest(rows: Float64, many: int) -> Float64:
    """(d,) the mean of the `many` values closest to each coordinate's median; of equally close ones the smaller."""
    ordered = np.sort(rows, axis=0)
    away = np.argsort(np.abs(ordered - np.median(ordered, axis=0)), axis=0, kind="stable")[:many]
    return np.asarray(np.take_along_axis(ordered, np.sort(away, axis=0), axis=0).mean(axis=0), np.float64)
