"""Agglomerative merging by Lance–Williams in float64, with ties that do not depend on anything but the order.

Rows are clients in the order of their ids, and a cluster keeps the place of its first member: so "smallest
key" is "smallest row". Heights that differ by less than 1e-12 (relative above 1, where cosine distances
are: absolute below, since 1 − cos has rounding errors of that kind) are ties, taken by the pair with the
smallest (first member of the one, first member of the other).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from disue.core.checks import Array, Float64, IntMatrix, IntVector

LINKAGES = ("average", "weighted", "complete", "single")
WARD = "ward"  # of Euclidean distances only
TIE = 1e-12


@dataclass(frozen=True, eq=False)
class Merges:
    """The merges of m clients in their order.

    pairs    (m − 1, 2) first member of the two clusters merged, the smaller first
    heights  (m − 1,) at what distance, ascending
    """

    pairs: IntMatrix
    heights: Float64

    def labels(self, k: int) -> IntVector:
        """(m,) the clusters when k are left, numbered by their first member."""
        first = list(range(self.heights.size + 1))
        for keep, drop in self.pairs[: max(self.heights.size + 1 - k, 0)].tolist():
            first[drop] = keep
        for row, before in enumerate(first):  # what a row was merged into lies before it, and is resolved
            first[row] = first[before]
        return np.unique(np.array(first), return_inverse=True)[1].reshape(-1).astype(np.int64)

    def below(self, distance: float) -> int:
        """How many clusters are left when everything up to `distance` has merged."""
        return int(self.heights.size + 1 - (self.heights <= distance).sum())


def merge(distances: Float64, linkage: str = "average", weights: Array | None = None) -> Merges:
    """All merges of the points with these (m, m) distances; `weights` (m,): how many each stands for."""
    m = distances.shape[0]
    d = np.triu(distances, 1)
    d = d + d.T
    np.fill_diagonal(d, np.inf)
    sizes = np.ones(m) if weights is None else np.array(weights, np.float64)
    nearest = d.min(axis=1, initial=np.inf)
    pairs, heights = np.zeros((max(m - 1, 0), 2), np.int64), np.zeros(max(m - 1, 0))
    for step in range(m - 1):
        least = nearest.min()
        bound = least + TIE * max(1.0, abs(least))
        a = int(np.argmax(nearest <= bound))  # the first row that has a partner so near …
        b = int(np.argmax(d[a] <= bound))  # … and its first such partner, which lies behind it
        pairs[step], heights[step] = (a, b), d[a, b]
        if linkage == "average":
            row = (sizes[a] * d[a] + sizes[b] * d[b]) / (sizes[a] + sizes[b])
        elif linkage == "weighted":  # as if both were of one size
            row = (d[a] + d[b]) / 2
        elif linkage == WARD:  # the growth of the squares about the means
            squares = (sizes[a] + sizes) * d[a] ** 2 + (sizes[b] + sizes) * d[b] ** 2 - sizes * d[a, b] ** 2
            row = np.sqrt(np.maximum(squares / (sizes[a] + sizes[b] + sizes), 0.0))
        elif linkage == "complete":
            row = np.maximum(d[a], d[b])
        else:
            row = np.minimum(d[a], d[b])
        row[a] = row[b] = np.inf
        lost = (d[:, a] <= nearest) | (d[:, b] <= nearest)  # rows whose nearest was one of the two
        sizes[a] += sizes[b]
        d[a], d[:, a], d[b], d[:, b] = row, row, np.inf, np.inf
        nearest = np.minimum(nearest, row)
        again = np.flatnonzero(lost & np.isfinite(nearest))
        nearest[again] = d[again].min(axis=1)
        nearest[a], nearest[b] = row.min(), np.inf
    return Merges(pairs, np.maximum.accumulate(heights) if m > 1 else heights)


def raise_to_floor(labels: IntVector, distances: Float64, floor: int) -> IntVector:
    """Merges clusters below `floor` members, smallest first, into the nearest by average distance."""
    return raised(labels, lambda part, other: float(distances[np.ix_(part, other)].mean()), floor)


def raised(labels: IntVector, apart: Callable[[IntVector, IntVector], float], floor: int) -> IntVector:
    """The same, with `apart` the average distance between the members of two clusters.

    Ties go to the cluster with the smallest first member; the result is numbered by first members.
    """
    parts = [np.flatnonzero(labels == g) for g in np.unique(labels)]
    parts.sort(key=lambda part: int(part[0]))
    while len(parts) > 1 and min(map(len, parts)) < floor:
        small = min(range(len(parts)), key=lambda g: (len(parts[g]), int(parts[g][0])))
        part = parts.pop(small)
        far = np.array([apart(part, other) for other in parts])
        near = int(np.argmax(far <= far.min() + TIE * max(1.0, far.min())))
        parts[near] = np.sort(np.concatenate([parts[near], part]))
        parts.sort(key=lambda part: int(part[0]))
    out = np.zeros(labels.size, np.int64)
    for g, part in enumerate(parts):
        out[part] = g
    return out
