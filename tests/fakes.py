"""A small door and world for tests: numpy only, answers given by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from disue.core.checks import positions
from disue.core.groups import Groups
from disue.core.layout import WHOLE, Entry, Layout, Part
from disue.core.orders import Orders, Report, origin_of
from disue.core.streams import Streams
from disue.core.uploads import Gram, GroupSums, Moments
from disue.core.world import Census, World

IDS = (4001, 17, 902)  # no valid positions, out of order


def vec(*values: float) -> np.ndarray:
    out = np.array(values, np.float32)
    out.flags.writeable = False
    return out


def layout(d: int = 6, statistics: int = 0) -> Layout:
    """`d` entries: a body, a head of two classes and one feature (4 entries), then statistics."""
    body = d - 4 - statistics
    entries = [Entry("fc.weight", (2, 1)), Entry("fc.bias", (2,))]
    if body:
        entries.insert(0, Entry("conv.weight", (body,)))
    if statistics:
        entries.append(Entry("norm.running_mean", (statistics,), "statistic", "BatchNorm2d"))
    return Layout(tuple(entries), "fc.weight", "fc.bias", model="toy")


def world(
    ids: Sequence[int] = IDS,
    d: int = 6,
    *,
    statistics: int = 0,
    seed: int = 0,
    rounds: int = 3,
    truth: Mapping[int, int] | None = None,
    sizes: Mapping[int, int] | None = None,
) -> World:
    known = np.array(ids, np.int64)
    declared = np.array([(sizes or {}).get(int(i), 1) for i in known], np.int64)
    return World(
        layout(d, statistics),
        Census(known, declared, 2),
        cast(Any, None),
        Streams(seed),
        rounds,
        truth=truth,
        redraw=lambda index: np.full(d, index + 1, np.float32),
    )


@dataclass(frozen=True, eq=False)
class FakeUploads:
    """The door over answers given by hand. `start` is common unless `starts` gives one per client."""

    ends: Mapping[int, np.ndarray]
    start: np.ndarray
    layout: Layout
    origin: np.ndarray | None = None  # None: sums of the plain ends
    sizes: Mapping[int, int] = field(default_factory=dict)
    starts: Mapping[int, np.ndarray] = field(default_factory=dict)
    counts: Mapping[int, Sequence[int]] = field(default_factory=dict)  # labels, by client
    chosen: Mapping[int, Sequence[float]] = field(default_factory=dict)
    extras: Mapping[str, Mapping[int, np.ndarray]] = field(default_factory=dict)
    weights: str = "samples"
    answer_moments: Callable[..., Moments] | None = None

    @property
    def ids(self) -> np.ndarray:
        return np.array(sorted(self.ends), np.int64)

    def _weight(self, client: int) -> float:
        return float(self.sizes.get(client, 1)) if self.weights == "samples" else 1.0

    def vectors(self, of: str = "update") -> np.ndarray:
        if of == "end":
            return np.stack([self.ends[int(i)] for i in self.ids])
        if of == "start":
            return np.stack([self.starts.get(int(i), self.start) for i in self.ids])
        if of != "update":
            return np.stack([self.extras[of][int(i)] for i in self.ids])
        return np.stack([self.ends[int(i)] - self.starts.get(int(i), self.start) for i in self.ids])

    def gram(self, of: Part = WHOLE, anchors: np.ndarray | None = None) -> Gram:
        mask = self.layout.mask(of)
        rows = self.vectors()[:, mask].astype(np.float64)
        more = np.zeros((0, self.layout.d)) if anchors is None else anchors.astype(np.float64)
        more = more[:, mask]

        # one product a pair, so that a pair's value does not hang on where the pair stands
        def inner(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return np.array([[float((x * y).sum()) for y in b] for x in a]).reshape(len(a), len(b))

        return Gram(self.ids, inner(rows, rows), inner(more, rows), inner(more, more))

    def cosine(self, of: Part = WHOLE, anchors: np.ndarray | None = None) -> Gram:
        return self.gram(of, anchors).cosine()

    def choice(self) -> np.ndarray:
        return np.array([self.chosen[int(i)] for i in self.ids], np.float64)

    def sums(self, groups: Groups, of: str = "update", shares: np.ndarray | None = None) -> GroupSums:
        base = 0.0 if self.origin is None else self.origin.astype(np.float64)
        values = self.ends if of == "update" else self.extras[of]
        off = base if of == "update" else 0.0
        d = next(iter(values.values())).size
        totals, whole = np.zeros((groups.numbers.size, d)), np.zeros(d)
        weights, counts = np.zeros(groups.numbers.size), np.zeros(groups.numbers.size, np.int64)
        member = groups.rows(groups.at(self.ids))[:, None] == np.arange(groups.numbers.size)
        for client, of_each in zip(self.ids.tolist(), member if shares is None else shares, strict=True):
            for row in np.flatnonzero(of_each):
                weight = self._weight(client) * float(of_each[row])
                value = weight * (values[client].astype(np.float64) - off)
                totals[row] += value
                whole += value
                weights[row] += weight
                counts[row] += 1
        return GroupSums(groups.numbers, totals, weights, counts, whole)

    def labels(self, groups: Groups) -> np.ndarray:
        out = np.zeros((groups.numbers.size, len(next(iter(self.counts.values())))), np.int64)
        for client, row in zip(self.ids.tolist(), groups.rows(groups.at(self.ids)).tolist(), strict=True):
            if row >= 0:
                out[row] += np.asarray(self.counts[client], np.int64)
        return out

    def finest(self) -> Groups:
        return Groups.alone(self.ids)

    def moments(
        self,
        groups: Groups,
        under: np.ndarray | None = None,
        against: np.ndarray | None = None,
        *,
        per_class: bool = False,
    ) -> Moments:
        if self.answer_moments is None:
            raise NotImplementedError("this fake was given no moments")
        return self.answer_moments(groups, under, against, per_class=per_class)


def orders(ids: Sequence[int], starts: np.ndarray, which: Sequence[int] | None = None, *, round: int = 0) -> Orders:
    """Orders for clients that start from rows of `starts` (one row: all from it)."""
    known, rows = np.array(ids, np.int64), np.atleast_2d(starts).astype(np.float32)
    at = np.zeros(known.size, np.int64) if which is None else np.array(which, np.int64)
    used = rows[np.unique(at)]
    return Orders(round, known, rows, at[:, None], origin_of(used), report=Report())


def answer(
    asked: Orders,
    ends: Mapping[int, np.ndarray],
    at: Layout,
    sizes: Mapping[int, int] | None = None,
    **more: Any,
) -> FakeUploads:
    """The door for these orders and ends; who is not in `ends` did not answer."""
    came = np.array(sorted(ends), np.int64)
    rows = asked.which[positions(came, asked.ids), 0]
    starts = {int(i): asked.starts[row] for i, row in zip(came, rows, strict=True)}
    return FakeUploads(ends, asked.starts[0], at, asked.origin, sizes or {}, starts, **more)
