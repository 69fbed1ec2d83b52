"""The coordinate-wise median.

D. Yin, Y. Chen, K. Ramchandran, P. Bartlett, Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates,
ICML 2018 (arXiv 1803.01498), Algorithm 1, Option I.

    centre_k ← med{ x_ik } ........................ `centre`: of an even number the mean of the two in the middle

Every member has one voice; weights count between groups only. Bears f liars in a group of more than 2 f.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.core.checks import Float64
from disue.parts.aggregate.robust.base import Sample
from disue.parts.aggregate.robust.bucketed import Bearing


@dataclass(frozen=True)
class Median(Bearing):
    """The median of each coordinate, every member with one voice."""

    name: ClassVar[str] = "median"

    def centre(self, sample: Sample) -> Float64 | str:
        return np.asarray(np.median(sample.rows, axis=0), np.float64)
