"""7b: classes that one member alone has samples of, in what a lot releases in its second pass, through the machines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from disue.core.checks import IntMatrix
from disue.core.streams import Streams
from disue.secure.check.cohort import Cohort
from disue.secure.check.histograms import dirichlet_counts
from disue.secure.check.row import Row
from disue.secure.client.local import Policy
from disue.secure.wire.opening import LABELS, STATIC

CLASSES, MIN_CLASS = 10, 3


def lone_classes(streams: Streams, quick: bool = False) -> list[Row]:
    lots = 4 if quick else 20
    floored, off = [], []
    for lot in range(lots):
        counts = dirichlet_counts(streams("lone", lot), 10, CLASSES, 500, 0.1)
        floored += alone(streams, counts, MIN_CLASS)
        for half in (counts[:5], counts[5:]):
            off += alone(streams, half, 0)
    share, control = float(np.mean(floored)), float(np.mean(off))
    return [
        Row("7b", f"released classes with one contributor, lots of 10, floor {MIN_CLASS}", share, "0", share == 0,
            "no class floor, groups of 5", control, "> 0.05", control > 0.05)
    ]  # fmt: skip


def alone(streams: Streams, counts: IntMatrix, floor: int) -> list[bool]:
    """Per class that a lot of these clients releases: whether one member alone has it."""
    cohort = Cohort(streams, len(counts), 1, Policy(min_class=floor, min_lot=len(counts)), counts=counts)
    opened = cohort.in_two_passes()
    sections = tuple(replace(one, policy=STATIC) if one.kind >= LABELS else one for one in opened.sections)
    exchange = cohort.exchange(replace(opened, sections=sections, min_class=floor))
    exchange.open()
    exchange.sums({0: range(len(counts))})
    released = exchange.second()[0].sections[0]
    assert floor or (released == counts.sum(axis=0)).all(), "without a floor the sums are the whole counts"
    return [int((counts[:, label] > 0).sum()) == 1 for label in np.flatnonzero(released)]
