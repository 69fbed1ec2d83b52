"""A small world for the generator family: linear models on vectors, with one tracked statistic."""

from __future__ import annotations

import numpy as np

from disue.core.groups import Groups
from disue.core.layout import Entry, Layout
from disue.core.method import Making, View
from disue.core.streams import Streams
from disue.core.world import Census, World


class Linear:
    """logits = statistic · (x Wᵀ + b): the statistic has a gradient too, but must never move."""

    input_kind = "vector"

    def __init__(self, features: int = 2, classes: int = 3, *, overflow: int = -1) -> None:
        self.input_shape, self.classes, self.overflow, self.calls = (features,), classes, overflow, 0
        entries = (
            Entry("head.weight", (classes, features)),
            Entry("head.bias", (classes,)),
            Entry("factor", (1,), "statistic"),
        )
        self.layout = Layout(entries, "head.weight", "head.bias", positive=False, model="linear")

    def forward(self, flat, inputs, train=False):
        assert not train
        self.calls += 1
        c, f = self.classes, self.input_shape[0]
        logits = (inputs.flatten(1) @ flat[: c * f].view(c, f).T + flat[c * f : -1]) * flat[-1]
        return logits * (float("inf") if self.calls == self.overflow else 1.0), inputs


def vector(weight, bias=0.0, factor=1.0):
    weight = np.asarray(weight, np.float32)
    bias = np.broadcast_to(np.float32(bias), weight.shape[:1])
    return np.concatenate([weight.reshape(-1), bias, [factor]]).astype(np.float32)


def world(network=None, *, seed=0, public=None, labels=None):
    network = network or Linear()
    ids = np.array([4001, 17, 902, 33])
    census = Census(ids, np.array([40, 10, 30, 20]), network.layout.classes)
    return World(network.layout, census, network, Streams(seed), rounds=9, public=public, public_labels=labels)


class Counted:
    """Answers with label counts only."""

    ids = np.array([17, 33, 902, 4001])

    def __init__(self, counts):
        self.counts = np.asarray(counts, np.int64)

    def labels(self, groups):
        assert groups.numbers.size == len(self.counts)
        return self.counts


def making(models, counts, average, *, round=20, numbers=None):
    """Groups `numbers` (0 … g−1) with these models; `round` is past the warm-up unless said."""
    models = np.array(models, np.float32)
    numbers = range(len(models)) if numbers is None else numbers
    groups = Groups.make({}, numbers=numbers)
    average = np.array(average, np.float32)
    for array in (models, average):
        array.flags.writeable = False
    view = View(round, groups, models, average, None)
    return Making(round, None, view, groups, models, average, Counted(counts))


COUNTS = [[30, 10, 0], [10, 30, 20]]


def pair(seed=3):
    """Two teachers that differ, and an average that is neither their mean nor zero."""
    rng = np.random.default_rng(seed)
    first, second, average = (vector(rng.normal(size=(3, 2)), rng.normal(size=3), 1.5) for _ in range(3))
    return np.stack([first, second]), average
