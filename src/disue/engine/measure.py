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

    without  classes whose samples are left out of counts, sums and second moments (of what tells no class they are not)
    """
    keep = np.ones(y.size, bool) if without is None or not without.size else ~np.isin(y, without)
    everything = network.features(under, x).astype(np.float64)
    seen, labels = everything[keep], y[keep]
    f = seen.shape[1]
    one_hot = np.zeros((classes, labels.size))
    one_hot[labels, np.arange(labels.size)] = 1.0
    across = np.ascontiguousarray(seen.T)  # (features, n)
    if per_class:
        second = np.zeros((classes, f, f))
        for label in np.unique(labels):
            of = np.ascontiguousarray(across[:, labels == label])
            second[label] = symmetric(product(of, of))
    else:
        second = symmetric(product(across, across))
    xx = xy = None
    if against is not None:
        earlier = network.features(against, x).astype(np.float64)
        before = np.ascontiguousarray(np.concatenate([earlier, np.ones((y.size, 1))], axis=1).T)  # (features + 1, n)
        after = across if keep.all() else np.ascontiguousarray(everything.T)
        xx, xy = symmetric(product(before, before)), product(before, after)
    return ClientMoments(np.bincount(labels, minlength=classes), product(one_hot, across), second, xx, xy)


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
