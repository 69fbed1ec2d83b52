"""How many groups: scores of the cuts of one tree, and the choice among them.

silhouette  mean over clients of (b − a) / max(a, b), a the mean distance to the own cluster, b the least
            mean distance to another; a client alone scores 0; one group if no cut reaches 0.1, which is
            needed because the silhouette of one group does not exist
gap         the jump of the merge heights over which a cut goes, counted only where it is at least half
            of the height below it; one group if there is none
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np

from disue.core.checks import Float64, IntVector
from disue.parts.grouping.merging import TIE, Merges

Sums: TypeAlias = Callable[[IntVector], Float64]  # labels (m,) → (m, k) distances summed over each cluster
LEAST = {"silhouette": 0.1, "gap": TIE}  # below: one group
SAME = 1e-9  # updates this near are one direction: what is left of 1 − cos is the rounding of float32
ROUNDS = 5  # scores of a cohort of ten are noisy: they are averaged over so many rounds


def silhouette(distances: Float64, labels: IntVector) -> float:
    """The mean silhouette of a partition numbered 0 … k − 1; 0 for one cluster."""
    return silhouette_from(partial(sums_of, distances), labels)


def sums_of(distances: Float64, labels: IntVector) -> Float64:
    """(m, k) the sum of each point's distances to the members of each cluster."""
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    out: Float64 = np.add.reduceat(distances[:, order], firsts, axis=1)  # no BLAS: its order hangs on threads
    return out


def silhouette_from(sums: Sums, labels: IntVector) -> float:
    """The same from the sums of distances to each cluster, however they are come by."""
    k, m = int(labels.max(initial=0)) + 1, labels.size
    if k < 2:
        return 0.0
    to, sizes = sums(labels), np.bincount(labels, minlength=k)
    own, rows = sizes[labels], np.arange(m)
    inside = to[rows, labels] / np.maximum(own - 1, 1)
    means = to / sizes[None, :]
    means[rows, labels] = np.inf
    outside = means.min(axis=1)
    largest = np.maximum(inside, outside)
    scores = np.where((own > 1) & (largest > SAME), (outside - inside) / np.where(largest > SAME, largest, 1), 0.0)
    return float(scores.mean())


def scores(rule: str, merges: Merges, distances: Float64, k_max: int) -> Float64:
    """(k_max − 1,) the score of the cut into 2, 3, … k_max groups; NaN beyond m − 1 groups."""
    return scores_from(rule, merges, partial(sums_of, distances), k_max)


def scores_from(rule: str, merges: Merges, sums: Sums, k_max: int) -> Float64:
    """The same from the sums of distances to each cluster."""
    m, out = merges.heights.size + 1, np.full(k_max - 1, np.nan)
    for k in range(2, min(k_max, m - 1) + 1):
        if rule == "silhouette":
            out[k - 2] = silhouette_from(sums, merges.labels(k))
        else:
            below, above = merges.heights[m - k - 1], merges.heights[m - k]
            out[k - 2] = above - below if above - below >= 0.5 * below else 0.0
    return out


def choose(rule: str, rounds: Float64, m: int, last: int = 0) -> int:
    """The number of groups for m clients by the mean of the last rounds' scores, (r, k_max − 1).

    Ties go to fewer groups. `last` > 0 is the number before: it changes by at most one.
    """
    known = ~np.isnan(rounds)
    known[:, max(m - 2, 0) :] = False  # cuts that m clients do not have
    counts = known.sum(axis=0)
    mean = np.where(counts > 0, np.where(known, rounds, 0.0).sum(axis=0) / np.maximum(counts, 1), -np.inf)
    best = mean.max(initial=-np.inf)
    k = 1 if best < LEAST[rule] else 2 + int(np.argmax(mean >= best - TIE))
    if last:
        k = min(max(k, last - 1), last + 1)
    return max(1, min(k, m))
