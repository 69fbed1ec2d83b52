"""Class moments of the features, measured by the clients who answered and summed over groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from disue.core.checks import Array, Float64, IntVector, Vector
from disue.core.groups import Groups
from disue.core.uploads import Moments
from disue.core.world import Network
from disue.engine.linear import product, symmetric


class ClientMoments(NamedTuple):
    """What one client measures: F features, of C classes; float64.

    counts (C,), sums (C, F)      second (F, F), or (C, F, F) by class
    xx (F + 1, F + 1), xy (F + 1, F)   of the features before, with a one, and after; None where not asked
    """

    counts: IntVector
    sums: Float64
    second: Float64
    xx: Float64 | None
    xy: Float64 | None


def of_client(
    network: Network,
    x: Array,
    y: IntVector,
    classes: int,
    under: Vector,
    against: Vector | None,
    per_class: bool,
    without: IntVector | None = None,
) -> ClientMoments:
    """The moments of a client's training data. Evaluation mode, with the statistics of the vector itself.

    without  classes whose samples are left out of everything: of cross moments too, or their difference to the second
             moments would be those of the classes held back
    """
    if without is not None and without.size:
        keep = ~np.isin(y, without)
        x, y = x[keep], y[keep]
    if not y.size:
        return nothing(network.layout.features, classes, per_class=per_class, crossed=against is not None)
    seen = network.features(under, x).astype(np.float64)
    f = seen.shape[1]
    one_hot = np.zeros((classes, y.size))
    one_hot[y, np.arange(y.size)] = 1.0
    across = np.ascontiguousarray(seen.T)  # (features, n)
    if per_class:
        second = np.zeros((classes, f, f))
        for label in np.unique(y):
            of = np.ascontiguousarray(across[:, y == label])
            second[label] = symmetric(product(of, of))
    else:
        second = symmetric(product(across, across))
    xx = xy = None
    if against is not None:
        earlier = network.features(against, x).astype(np.float64)
        before = np.ascontiguousarray(np.concatenate([earlier, np.ones((y.size, 1))], axis=1).T)  # (features + 1, n)
        xx, xy = symmetric(product(before, before)), product(before, across)
    return ClientMoments(np.bincount(y, minlength=classes), product(one_hot, across), second, xx, xy)


def nothing(f: int, classes: int, *, per_class: bool, crossed: bool) -> ClientMoments:
    """The moments of no sample."""
    second = np.zeros((classes, f, f) if per_class else (f, f))
    cross = (np.zeros((f + 1, f + 1)), np.zeros((f + 1, f))) if crossed else (None, None)
    return ClientMoments(np.zeros(classes, np.int64), np.zeros((classes, f)), second, *cross)


def summed(
    groups: Groups,
    classes: int,
    features: int,
    found: Iterable[tuple[int, ClientMoments]],
    *,
    per_class: bool,
    crossed: bool,
) -> Moments:
    """Sums of (row of the group, moments), in the order given."""
    g, f = groups.numbers.size, features
    counts, sums = np.zeros((g, classes), np.int64), np.zeros((g, classes, f))
    second = np.zeros((g, classes, f, f)) if per_class else np.zeros((g, f, f))
    xx, xy = np.zeros((f + 1, f + 1)), np.zeros((f + 1, f))
    for row, one in found:
        counts[row] += one.counts
        sums[row] += one.sums
        second[row] += one.second
        if one.xx is not None and one.xy is not None:
            xx += one.xx
            xy += one.xy
    return Moments(groups.numbers, counts, sums, second, xx if crossed else None, xy if crossed else None)
