"""Centred clipping: updates are cut about the last centre, not about zero.

S. P. Karimireddy, L. He, M. Jaggi, Learning from History for Byzantine Robust Optimization, ICML 2021 (arXiv
2012.10333).

    v_0 ← the centre of the last round ............ memory, by group; zero before the first
    v_{l+1} ← v_l + 1/n Σ (x_i − v_l) min(1, τ / ‖x_i − v_l‖) .. `radius` = τ, `iterations` times, by weight

The paper's workers send momenta, which change slowly; here they send the updates of a round, so the last centre is the
poorer a guess the more updates turn from round to round. A liar moves the centre by at most its share times τ in an
iteration, and the centres of later rounds with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from disue.core.checks import Matrix, Vector, frozen
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import inherit
from disue.core.world import World
from disue.parts.aggregate.robust.base import Centres, Sample
from disue.parts.aggregate.robust.bucketed import Bucketed
from disue.parts.aggregate.robust.clipped import clipped, lengths
from disue.parts.expert import ranges


@dataclass(frozen=True, eq=False)
class Last:
    """The last centre of each group, rows follow `groups.numbers`."""

    rows: Matrix
    groups: Groups


@dataclass(frozen=True)
class Centred(Bucketed):
    """The last centre, moved by the mean of what updates differ from it, each cut to a radius.

    radius      τ, how far one update may lie from the centre; inf: the mean
    iterations  how often it is done in a round
    """

    radius: float = 1.0
    iterations: int = 1
    name: ClassVar[str] = "centred"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.radius, bool) or not self.radius > 0:
            raise UserError(f"centred.radius must be > 0, got {self.radius}", key="centred.radius", found=self.radius)
        ranges.whole("centred.iterations", self.iterations, 1)

    @property
    def idle(self) -> bool:
        return math.isinf(self.radius) and self.buckets == 1

    def first(self, start: Vector, groups: Groups) -> Last:
        return Last(np.zeros((groups.numbers.size, start.size), np.float32), groups)

    def centres(self, world: World, round: int, memory: Any, samples: Mapping[int, Sample], groups: Groups) -> Centres:
        last = inherit(memory.rows, memory.groups, groups, np.zeros(memory.rows.shape[1], np.float32))
        found, cut, many = {}, 0, 0
        for number, sample in samples.items():
            row = int(groups.rows(np.array([number]))[0])
            at = last[row].astype(np.float64)
            for _ in range(self.iterations):
                away = sample.rows - at
                norms = lengths(away)
                cut, many = cut + int((norms > self.radius).sum()), many + norms.size
                at = at + np.average(clipped(away, norms, self.radius), axis=0, weights=sample.weights)
            found[number] = at
            last[row] = at
        return Centres(found, {}, Last(frozen(last), groups), {"centred.share": cut / many if many else 0.0})
