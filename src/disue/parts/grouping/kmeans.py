"""k-means on points that are known by their inner products alone, started by drawing far points more often.

Seeds in proportion to the squared distance to those that are there: k-means++ (Arthur, Vassilvitskii, SODA 2007).
"""

from __future__ import annotations

import numpy as np

from disue.core.checks import Float64, IntVector

ITERATIONS = 50  # it stops when nobody moves
RESTARTS = 10


def seeded(values: Float64, k: int, rng: np.random.Generator) -> IntVector:
    """(n,) labels from the inner products (n, n); a cluster that lost its last point stays empty."""
    squares = np.diag(values)
    seeds = [int(rng.integers(squares.size))]
    nearest = _to_mean(values, np.array(seeds))
    for _ in range(1, k):
        total = nearest.sum()
        drawn = rng.choice(squares.size, p=nearest / total) if total > 0 else rng.integers(squares.size)
        seeds.append(int(drawn))
        nearest = np.minimum(nearest, _to_mean(values, np.array(seeds[-1:])))
    labels = np.stack([_to_mean(values, np.array([seed])) for seed in seeds]).argmin(axis=0)
    for _ in range(ITERATIONS):
        members = [np.flatnonzero(labels == g) for g in range(k)]
        far = np.full(squares.size, np.inf)
        after = np.stack([_to_mean(values, m) if m.size else far for m in members]).argmin(axis=0)
        if np.array_equal(after, labels):
            break
        labels = after
    out: IntVector = labels.astype(np.int64)
    return out


def best(values: Float64, k: int, rng: np.random.Generator) -> IntVector:
    """Of ten starts the one whose points lie nearest to their means; the first of equals."""
    tried = [seeded(values, k, rng) for _ in range(RESTARTS)]
    return min(tried, key=lambda labels: spread(values, labels))


def spread(values: Float64, labels: IntVector) -> float:
    """The sum of squared distances to the means of their clusters."""
    members = [np.flatnonzero(labels == g) for g in np.unique(labels)]
    return float(sum(_to_mean(values, m)[m].sum() for m in members))


def _to_mean(values: Float64, members: IntVector) -> Float64:
    """(n,) squared distances of all points to the mean of some."""
    inner = values[:, members].mean(axis=1)
    out: Float64 = np.maximum(np.diag(values) - 2 * inner + values[np.ix_(members, members)].mean(), 0.0)
    return out
