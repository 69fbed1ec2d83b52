"""A robust centre of each group's updates in the place of their mean; momentum, balance and lineage are the mean's.

What a rule is given are updates about each client's own start, whatever group it then belongs to: honest updates lie
close together where starts do not, and starts are the server's own. A group's model is the mean start plus the centre.

The average is the mean of the groups' centres, by weight, and no centre of all clients. A rule that bears f liars in a
sum bears then f in *every* group; one centre of all would bear f in all, and would take groups for outliers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from disue.core.checks import Float64, IntVector, Matrix, Vector
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import Info, Merged, View, inherit
from disue.core.orders import Orders, Sight
from disue.core.uploads import GroupSums, Uploads
from disue.core.world import World, declared
from disue.parts.aggregate.mean import Mean, Momentum


@dataclass(frozen=True)
class Nothing:
    """The memory of a rule that keeps none."""


@dataclass(frozen=True, eq=False)
class Kept:
    """The buffers of the mean, and what the rule remembers."""

    mean: Momentum
    rule: Any


@dataclass(frozen=True, eq=False)
class Sample:
    """What one group says in a round, in the order of ids.

    ids (m,) of the clients     rows (m, d) float64 updates     weights (m,) > 0
    With buckets the rows are those of buckets, in the order drawn; ids are still the clients'.
    """

    ids: IntVector
    rows: Float64
    weights: Float64


@dataclass(frozen=True, eq=False)
class Centres:
    """A round's outcome: group → centre (d,), or → why it has none; the rule's memory; numbers for rounds.csv."""

    found: Mapping[int, Float64]
    failed: Mapping[int, str]
    memory: Any
    values: Mapping[str, float]


@dataclass(frozen=True)
class Robust(Mean):
    """Base of the rules: a group's model is its members' mean start plus a robust centre of their updates.

    A group of which no centre can be made keeps its model, and counts for nothing in the average. Tracked statistics
    count like weights: what is not looked at is where a liar would hide.

    weights  "uniform" or "samples": the weight of a client; samples are what a client declares, liars included
    """

    weights: str = "uniform"
    name: ClassVar[str] = "robust"
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.SUMS, Sight.VECTORS})

    @property
    def idle(self) -> bool:
        """Whether nothing that clients can send makes the rule differ from the mean."""
        return False

    @property
    def least(self) -> int:
        """Members that a group needs."""
        return 1

    def check(self, cohort: int) -> None:
        """Refuses a rule that not even a group of the whole cohort can follow."""
        if self.least > cohort:
            raise UserError(
                f"method.aggregate: {self.name}{self._why} needs {self.least} members in a group, but a cohort has "
                f"{cohort}",
                key="method.aggregate",
                found=cohort,
            )

    @property
    def _why(self) -> str:
        """What makes `least` what it is, to be put behind the name."""
        return ""

    def first(self, start: Vector, groups: Groups) -> Any:
        """The rule's memory before the first round."""
        return Nothing()

    def centre(self, sample: Sample) -> Float64 | str:
        """(d,) the centre of one group, or the end of a sentence why there is none; at least `least` members came."""
        raise NotImplementedError

    def centres(self, world: World, round: int, memory: Any, samples: Mapping[int, Sample], groups: Groups) -> Centres:
        """Of every group with a sample; rules that remember, or look at all groups at once, do this their own way."""
        said = {number: self.centre(sample) for number, sample in samples.items()}
        return Centres(
            {number: value for number, value in said.items() if not isinstance(value, str)},
            {number: value for number, value in said.items() if isinstance(value, str)},
            memory,
            {},
        )

    def init(self, world: World, start: Vector, groups: Groups) -> Kept:  # type: ignore[override]
        return Kept(super().init(world, start, groups), self.first(start, groups))

    def merge(  # type: ignore[override]
        self,
        world: World,
        memory: Kept,
        before: View,
        groups: Groups,
        orders: Orders,
        uploads: Uploads,
        *,
        common: bool,
    ) -> Merged[Kept]:
        if self.idle:  # the mean itself, to the last bit
            plain = super().merge(world, memory.mean, before, groups, orders, uploads, common=common)
            return Merged(plain.models, plain.average, Kept(plain.memory, memory.rule), plain.info)
        given = Given.of(world, before, groups, orders, uploads, self.weights)
        samples, failed = {}, {}
        for number in groups.numbers.tolist():
            size = given.members(number).size
            if 0 < size < self.least:
                failed[number] = f"{size} of its members answered, {self.name}{self._why} needs {self.least}"
            elif size:
                samples[number] = self._sample(world, orders.round, number, given)
        made = self.centres(world, orders.round, memory.rule, samples, groups)
        failed = {**failed, **made.failed}
        sums = given.sums(made.found)
        plain = self._merged(world, memory.mean, before, groups, orders, sums, common=common)
        notes = tuple(
            f"round {orders.round}: group {number} keeps its model: {why}" for number, why in sorted(failed.items())
        )
        values = {f"{self.name}.unmoved": float(len(failed)), **made.values}
        return Merged(plain.models, plain.average, Kept(plain.memory, made.memory), plain.info + Info(values, notes))

    def _sample(self, world: World, round: int, number: int, given: Given) -> Sample:
        return given.sample(number)


@dataclass(frozen=True, eq=False)
class Given:
    """The answers as rules need them: ends (n, d), and what each started from, as far as starts differ."""

    groups: Groups  # with those members only that answered
    ids: IntVector
    ends: Matrix
    starts: Matrix | None  # None: all started from `origin`
    origin: Vector | None  # what sums are about
    weights: Float64

    @staticmethod
    def of(world: World, before: View, groups: Groups, orders: Orders, uploads: Uploads, weights: str) -> Given:
        ids = uploads.ids
        starts: Matrix | None = None
        if orders.own:  # a start that a client kept is its word only: the server's own is its group's model
            rows = inherit(before.models, before.groups, groups, before.average)
            at = groups.rows(groups.at(ids))
            starts = np.where((at >= 0)[:, None], rows[at], before.average[None, :]).astype(np.float32)
        elif orders.origin is None:
            starts = uploads.vectors("start")
        sizes = declared(world.census)
        each = [float(sizes[int(client)]) if weights == "samples" else 1.0 for client in ids]
        return Given(groups.among(ids), ids, uploads.vectors("end"), starts, orders.origin, np.array(each, np.float64))

    def members(self, number: int) -> IntVector:
        return self.groups.members(number)

    def sample(self, number: int) -> Sample:
        at = self._at(number)
        began = self._began(at)
        return Sample(self.ids[at], self.ends[at].astype(np.float64) - began, self.weights[at])

    def sums(self, centres: Mapping[int, Float64]) -> GroupSums:
        """What the mean would be told if all members of a group had ended at their mean start plus its centre."""
        numbers = self.groups.numbers
        d = self.ends.shape[1]
        totals, whole = np.zeros((numbers.size, d)), np.zeros(d)
        weights, counts = np.zeros(numbers.size), np.zeros(numbers.size, np.int64)
        for row, number in enumerate(numbers.tolist()):
            if number not in centres:
                continue
            at = self._at(number)
            weights[row], counts[row] = self.weights[at].sum(), at.size
            totals[row] = weights[row] * (centres[number] + self._shift(at))
            whole += totals[row]
        return GroupSums(numbers, totals, weights, counts, whole)

    def _at(self, number: int) -> IntVector:
        return np.asarray(np.searchsorted(self.ids, self.groups.members(number)), np.int64)

    def _began(self, at: IntVector) -> Float64:
        """(m, d), or (d,) where all started from one vector."""
        if self.starts is not None:
            return self.starts[at].astype(np.float64)
        assert self.origin is not None
        return self.origin.astype(np.float64)

    def _shift(self, at: IntVector) -> Float64 | float:
        """The mean start about the origin of sums."""
        if self.starts is None:
            return 0.0
        start = np.asarray(np.average(self.starts[at].astype(np.float64), axis=0, weights=self.weights[at]))
        return start if self.origin is None else start - self.origin
