"""Merging thousands of unit vectors: the whole tree by scipy, or small clusters first and a tree of those.

Average linkage takes the mean distance between members of two clusters, which for unit rows is 1 − the product
of the clusters' mean rows: with small clusters weighted by their members, what is approximate is only which
points are put together first. Complete and single linkage are taken between the clusters' directions.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from disue.core.checks import Float64, IntVector, Matrix
from disue.core.streams import Streams
from disue.parts.grouping.merging import Merges, merge

CENTRES = 500
BATCH = 1_024  # rows of a step of k-means
STEPS = 20
BLOCK = 512


def tree(rows: Matrix, linkage: str) -> Merges:
    """All merges, from the condensed distances: n²/2 float64, of which scipy makes a copy."""
    from scipy.cluster.hierarchy import linkage as by_scipy

    n = len(rows)
    condensed, at = np.empty(n * (n - 1) // 2), 0
    for start in range(0, n, BLOCK):
        block = np.maximum(1.0 - rows[start : start + BLOCK] @ rows.T, 0.0)
        for row, values in enumerate(block, start):
            condensed[at : at + n - 1 - row] = values[row + 1 :]
            at += n - 1 - row
    found = by_scipy(condensed, cast(Any, linkage))
    first, pairs = list(range(n)), np.zeros((n - 1, 2), np.int64)
    for step, (a, b) in enumerate(found[:, :2].astype(np.int64).tolist()):
        pairs[step] = sorted((first[a], first[b]))
        first.append(int(pairs[step, 0]))
    return Merges(pairs, np.maximum.accumulate(found[:, 2]))


def merges(rows: Matrix, linkage: str, centres: int, streams: Streams) -> Merges:
    """The tree whose first merges, at height 0, make small clusters around at most so many centres."""
    of = clusters(rows, centres, streams)
    sizes, means = np.bincount(of), totals(rows, of)
    means /= sizes[:, None]
    if linkage != "average":
        length = np.linalg.norm(means, axis=1, keepdims=True)
        means /= np.where(length > 0, length, 1.0)
    above = merge(np.maximum(1.0 - means @ means.T, 0.0), linkage, sizes)
    first = np.unique(of, return_index=True)[1]  # clusters are numbered by their first members
    rest = np.setdiff1d(np.arange(len(rows)), first)
    within = np.stack([first[of[rest]], rest], axis=1)
    return Merges(
        np.concatenate([within, first[above.pairs]]),
        np.concatenate([np.zeros(rest.size), above.heights]),
    )


def clusters(rows: Matrix, centres: int, streams: Streams) -> IntVector:
    """(n,) small clusters by spherical mini-batch k-means, numbered by their first members.

    Started by drawing far points more often (k-means++: Arthur, Vassilvitskii, SODA 2007), so that a small group
    apart has a centre; steps move a centre to the mean of all it was ever given (Sculley, WWW 2010).
    """
    rng = streams("micro-clusters")
    at = rows[_seeds(rows, centres, rng)].astype(np.float64)
    held = np.ones(len(at))
    for _ in range(STEPS if len(at) < len(rows) else 0):
        batch = rows[rng.integers(0, len(rows), BATCH)]
        near = _nearest(batch, at)
        given = np.bincount(near, minlength=len(at))
        sums = totals(batch, near, len(at))
        at = (at * held[:, None] + sums) / (held + given)[:, None]
        held += given
        length = np.linalg.norm(at, axis=1, keepdims=True)
        at = at / np.where(length > 0, length, 1.0)
    near = _nearest(rows, at)
    near[~rows.any(axis=1)] = len(at)  # who did not move is near to nobody: a cluster of its own
    order = np.unique(near, return_index=True)
    rank = np.zeros(len(at) + 1, np.int64)
    rank[order[0][np.argsort(order[1])]] = np.arange(order[0].size)
    return rank[near]


def totals(rows: Matrix, labels: IntVector, k: int | None = None) -> Float64:
    """(k, w) the sum of each cluster's rows, in their order."""
    out = np.zeros((int(labels.max(initial=-1)) + 1 if k is None else k, rows.shape[1]))
    order = np.argsort(labels, kind="stable")
    present, firsts = np.unique(labels[order], return_index=True)
    if present.size:
        out[present] = np.add.reduceat(rows[order].astype(np.float64), firsts, axis=0)
    return out


def _seeds(rows: Matrix, centres: int, rng: np.random.Generator) -> IntVector:
    """Distinct positions: the first at random, each next with a chance that is its squared distance to the chosen."""
    found = [int(rng.integers(len(rows)))]
    apart = np.full(len(rows), np.inf)
    while len(found) < min(centres, len(rows)):
        apart = np.minimum(apart, np.maximum(1.0 - rows @ rows[found[-1]], 0.0))
        apart[found[-1]] = 0.0
        apart[apart < 1e-6] = 0.0  # the same direction, but for rounding
        chances = np.cumsum(apart, dtype=np.float64)
        if not chances[-1] > 0:
            break
        found.append(int(np.searchsorted(chances, rng.random() * chances[-1], side="right")))
    return np.array(found, np.int64)


def _nearest(rows: Matrix, centres: Float64) -> IntVector:
    """(n,) the first of the centres with the largest cosine."""
    across = np.ascontiguousarray(centres.T, np.float32)
    parts = [(rows[at : at + BLOCK] @ across).argmax(axis=1) for at in range(0, len(rows), BLOCK)]
    return np.concatenate(parts).astype(np.int64)
