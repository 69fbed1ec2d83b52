"""Krum: the update with the closest neighbours; multi-Krum: the mean of several such.

P. Blanchard, E. M. El Mhamdi, R. Guerraoui, J. Stainer, Machine Learning with Adversaries: Byzantine Tolerant Gradient
Descent, NIPS 2017 (arXiv 1703.02757, as Byzantine-Tolerant Machine Learning).

    s(i) ← Σ_{i→j} ‖x_i − x_j‖² over the n − f − 2 closest ... `scores`
    centre ← x_i with the least s(i) ......................... select = 1
    multi-Krum: the mean of the m least ...................... select = m, by weight

Needs n ≥ 2 f + 3. More than n − f selected must hold a liar where f lie; the paper's proof is for select = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.core.checks import Float64, IntVector
from disue.parts.aggregate.robust.base import Sample
from disue.parts.aggregate.robust.bucketed import Bearing
from disue.parts.expert import ranges


@dataclass(frozen=True)
class Krum(Bearing):
    """The update whose n − f − 2 closest neighbours are closest, or the mean of the best.

    select  how many of the best are averaged: 1 is Krum, more is multi-Krum
    """

    select: int = 1
    name: ClassVar[str] = "krum"

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges.whole("krum.select", self.select, 1)

    @property
    def least_rows(self) -> int:
        return max(2 * self.liars + 3, self.select)

    @property
    def _why(self) -> str:
        return f"{super()._why}{f' and select = {self.select}' if self.select > 1 else ''}"

    def centre(self, sample: Sample) -> Float64 | str:
        best = np.sort(ranking(squares(sample.rows), self.liars)[: self.select])
        return np.asarray(np.average(sample.rows[best], axis=0, weights=sample.weights[best]), np.float64)


def squares(rows: Float64) -> Float64:
    """(m, m) squared distances, symmetric to the last bit."""
    return np.array([((rows - row) ** 2).sum(axis=1) for row in rows])


def ranking(distances: Float64, liars: int) -> IntVector:
    """Rows by Krum's score, the best first; equal scores (two that are each other's closest) by the sum of all."""
    m = distances.shape[0]
    near = max(m - liars - 2, 1)
    away = np.sort(distances + np.diag(np.full(m, np.inf)), axis=1)
    scores = away[:, : min(near, m - 1)].sum(axis=1)
    return np.lexsort((np.sort(distances, axis=1).sum(axis=1), scores)).astype(np.int64)
