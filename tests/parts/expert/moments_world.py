"""A small world for the moments family: an affine body, four clients, a door that remembers its questions."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from disue.core.groups import Groups
from disue.core.layout import Entry, Layout
from disue.core.method import Making, View
from disue.core.streams import Streams
from disue.core.uploads import Moments

F, C = 3, 5
IDS = (17, 902, 4001, 4002)  # ids that are no positions
LAYOUT = Layout(
    (Entry("slope", (F, F)), Entry("shift", (F,)), Entry("head.weight", (C, F)), Entry("head.bias", (C,))),
    "head.weight",
    "head.bias",
    positive=False,
)
WORLD = SimpleNamespace(layout=LAYOUT, streams=Streams(0))


def features(vector, x):
    """A body that is an affine map, so that every drift of it is affine."""
    slope, shift = LAYOUT.tensor(vector, "slope"), LAYOUT.tensor(vector, "shift")
    return x @ slope.astype(float) + shift.astype(float)


@dataclass
class Door:
    """Moments by definition from four clients' rows; remembers what it was asked."""

    data: dict
    received: np.ndarray
    stale: bool = False
    broken: bool = False
    asked: list = field(default_factory=list)

    @property
    def ids(self):
        return np.array(sorted(self.data), np.int64)

    def finest(self):
        return Groups.alone(self.ids)

    def moments(self, groups, under=None, against=None, *, per_class=False):
        self.asked.append(SimpleNamespace(groups=groups, under=under, against=against, per_class=per_class))
        new = self.received if under is None else under
        g = groups.numbers.size
        counts, sums = np.zeros((g, C), np.int64), np.zeros((g, C, F))
        second = np.zeros((g, C, F, F))
        xx, xy = np.zeros((F + 1, F + 1)), np.zeros((F + 1, F))
        for row, number in enumerate(groups.numbers):
            for client in groups.members(number).tolist():
                x, y = self.data[client]
                phi = features(new, x)
                for c in range(C):
                    counts[row, c] += (y == c).sum()
                    sums[row, c] += phi[y == c].sum(axis=0)
                    second[row, c] += phi[y == c].T @ phi[y == c]
                if against is not None:
                    old = np.concatenate([features(against, x), np.ones((y.size, 1))], axis=1)
                    xx, xy = xx + old.T @ old, xy + old.T @ phi
        if self.broken:
            sums[0, 0] = np.nan
        second = second if per_class else second.sum(axis=1)
        crossed = (xx, xy) if against is not None else (None, None)
        return Moments(groups.numbers, counts, sums, second, *crossed, self.stale)


def clients(classes=range(C), seed=0, amount=60):
    """Four clients of unequal size; `classes` are those that occur at all."""
    rng = np.random.default_rng(seed)
    centres = 3 + 2 * np.random.default_rng(99).normal(size=(C, F))
    out = {}
    for at, client in enumerate(IDS):
        y = rng.choice(list(classes), size=amount + 20 * at)
        out[client] = (centres[y] + rng.normal(size=(y.size, F)), y)
    return out


def vector(seed=0, body=None):
    rng = np.random.default_rng(seed)
    out = rng.normal(size=LAYOUT.d).astype(np.float32)
    if body is not None:
        out[: F * F + F] = body[: F * F + F]
    out.flags.writeable = False
    return out


SENT, AVERAGE = vector(1), vector(2)


def making(data=None, *, round=0, sent=SENT, average=AVERAGE, of=(0, 0, 1, 1), **door):
    data = clients() if data is None else data
    uploads = Door(data, sent if sent is not None else average, **door)
    groups = Groups.make(dict(zip(IDS, of, strict=True)), numbers=[5])  # group 5 is empty
    models = np.stack([average] * groups.numbers.size)
    before = View(round, groups, models, average, sent)
    return Making(round, sent, before, groups.among(uploads.ids), models, average, uploads)


def first(part, made_from=None):
    return part.make(WORLD, part.init(WORLD, SENT), made_from or making())


def head_of(expert):
    weight, bias = LAYOUT.head(expert)
    return np.concatenate([weight, bias[:, None]], axis=1).astype(float)
