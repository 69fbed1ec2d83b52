"""What most rules share: buckets before the rule, and the number of liars that it must bear.

Buckets: S. P. Karimireddy, L. He, M. Jaggi, Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing, ICLR
2022 (arXiv 2006.09365), Algorithm 1.

    random permutation π of the n members ......... stream "buckets", round, group
    y_i ← mean of x_π((i−1)s+1) … x_π(min(n, is)) .. _sample: the weighted mean; a bucket weighs what its members weigh
    output Aggr(y_1 … y_⌈n/s⌉) .................... `centre` of the rule

A liar spoils one bucket at most, so `liars` counts for buckets what it counts for members, and s times as many members
are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from disue.core.world import World
from disue.parts.aggregate.robust.base import Given, Robust, Sample
from disue.parts.expert import ranges


@dataclass(frozen=True)
class Bucketed(Robust):
    """A rule on the means of random buckets.

    buckets  members of a bucket; 1: none. Means of buckets are more alike than members are, where data differs
    """

    buckets: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges.whole(f"{self.name}.buckets", self.buckets, 1)

    @property
    def least_rows(self) -> int:
        """Rows (members, or buckets of them) that the rule needs."""
        return 1

    @property
    def least(self) -> int:
        return self.buckets * (self.least_rows - 1) + 1  # the last bucket may hold one member

    def _sample(self, world: World, round: int, number: int, given: Given) -> Sample:
        whole = given.sample(number)
        if self.buckets == 1:
            return whole
        order = world.streams("buckets", round, number).permutation(whole.ids.size)
        cuts = [order[at : at + self.buckets] for at in range(0, order.size, self.buckets)]
        weights = np.array([whole.weights[cut].sum() for cut in cuts])
        rows = np.stack([np.average(whole.rows[cut], axis=0, weights=whole.weights[cut]) for cut in cuts])
        return Sample(whole.ids, rows, weights)


@dataclass(frozen=True)
class Bearing(Bucketed):
    """A rule that is told how many liars it must bear in a group.

    liars  f, the members of a group that may send anything; a group too small for it keeps its model
    """

    liars: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges.whole(f"{self.name}.liars", self.liars, 0)

    @property
    def _why(self) -> str:
        buckets = f" and buckets = {self.buckets}" if self.buckets > 1 else ""
        return f" with liars = {self.liars}{buckets}"

    @property
    def least_rows(self) -> int:
        return 2 * self.liars + 1  # no rule bears half of them
