"""The geometric median (RFA).

K. Pillutla, S. M. Kakade, Z. Harchaoui, Robust Aggregation for Federated Learning, IEEE Transactions on Signal
Processing 2022 (arXiv 1912.13445), Algorithm 2, the smoothed Weiszfeld algorithm.

    v minimises Σ α_i ‖v − x_i‖ ................... α_i the weight of a client
    β_i ← α_i / max(ν, ‖v − x_i‖) ................. `smoothing` = ν
    v ← Σ β_i x_i / Σ β_i ......................... `iterations` times, or until v stands

Begins at the median of each coordinate, where the paper begins with an average: from a mean that one liar has carried
away it takes the algorithm many steps to come back. Bears liars of less than half of a group's weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.core.checks import Float64
from disue.parts.aggregate.robust.base import Sample
from disue.parts.aggregate.robust.bucketed import Bearing
from disue.parts.aggregate.robust.clipped import lengths
from disue.parts.expert import ranges

STANDS = 1e-10  # of the largest norm: a move that is rounding only


@dataclass(frozen=True)
class GeometricMedian(Bearing):
    """The point with the least sum of distances to the updates, by weight.

    iterations  steps of Weiszfeld's algorithm at most
    smoothing   ν, the distance below which an update counts as this far away
    """

    iterations: int = 100
    smoothing: float = 1e-6
    name: ClassVar[str] = "geometric-median"

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges.whole("geometric-median.iterations", self.iterations, 1)
        ranges.number("geometric-median.smoothing", self.smoothing, 0.0, above=True)

    def centre(self, sample: Sample) -> Float64 | str:
        rows = sample.rows
        at = np.asarray(np.median(rows, axis=0), np.float64)
        for _ in range(self.iterations):
            pull = sample.weights / np.maximum(self.smoothing, lengths(rows - at))
            after = np.asarray(np.average(rows, axis=0, weights=pull), np.float64)
            move, at = float(np.linalg.norm(after - at)), after
            if move <= STANDS * float(np.linalg.norm(at)):
                break
        return at
