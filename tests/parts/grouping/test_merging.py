"""The merge tree against scipy where there are no ties, and its own rule where there are."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disue.parts.grouping.merging import LINKAGES, WARD, merge, raise_to_floor
from disue.parts.grouping.number import choose, scores, silhouette


def distances(seed, m, d=6):
    x = np.random.default_rng(seed).normal(size=(m, d))
    x /= np.linalg.norm(x, axis=1)[:, None]
    out = np.triu(np.maximum(1 - x @ x.T, 0), 1)
    return out + out.T


def partition(labels):
    return sorted(tuple(np.flatnonzero(labels == g)) for g in np.unique(labels))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 25), st.sampled_from((*LINKAGES, WARD)))
def test_as_scipy_where_there_are_no_ties(seed, m, kind):
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    d = distances(seed, m)
    z, found = linkage(squareform(d, checks=False), kind), merge(d, kind)
    assert np.allclose(found.heights, z[:, 2], rtol=1e-12, atol=1e-14)
    for k in range(1, m + 1):
        assert partition(found.labels(k)) == partition(fcluster(z, k, "maxclust"))
    middle = float(np.median(z[:, 2])) + 1e-9  # not on a height itself
    assert found.below(middle) == len(np.unique(fcluster(z, middle, "distance")))


def test_ties_are_taken_by_the_smallest_pair():
    found = merge(np.ones((4, 4)))
    assert found.pairs.tolist() == [[0, 1], [0, 2], [0, 3]]
    # 2–3 and 0–1 are equally near: 0–1 merges first
    d = np.full((4, 4), 0.9)
    d[2, 3] = d[3, 2] = d[0, 1] = d[1, 0] = 0.1
    assert merge(d).pairs.tolist() == [[0, 1], [2, 3], [0, 2]]


def test_rounding_does_not_break_a_tie():
    # the later pair is nearer by two roundings, as 1 − cos of equal vectors comes out
    d = np.full((4, 4), 0.9)
    d[0, 1] = d[1, 0] = 0.1
    d[2, 3] = d[3, 2] = 0.1 - 2e-16
    assert merge(d).pairs[0].tolist() == [0, 1]
    d[2, 3] = d[3, 2] = 0.1 - 1e-10  # no tie
    assert merge(d).pairs[0].tolist() == [2, 3]


@pytest.mark.hand("clustered")
def test_average_counts_members_and_not_clusters():
    # {0, 1} at 0.1, 2 joins at (0.4 + 0.6) / 2; then 3 lies at (0.9 + 0.9 + 0.6) / 3 = 0.8, not 0.75
    d = np.array([[0, 0.1, 0.4, 0.9], [0.1, 0, 0.6, 0.9], [0.4, 0.6, 0, 0.6], [0.9, 0.9, 0.6, 0]])
    assert np.allclose(merge(d).heights, [0.1, 0.5, 0.8])


@pytest.mark.parametrize("m", [0, 1])
def test_one_client_and_none(m):
    found = merge(np.zeros((m, m)))
    assert found.heights.size == 0 and found.labels(1).size in (0, 1)


def test_fast_enough():
    d = distances(0, 100)
    merge(d)
    start = time.process_time()
    merge(d)
    assert time.process_time() - start < 0.05
    start = time.process_time()
    merge(distances(1, 1000))
    assert time.process_time() - start < 10


# -- floors ------------------------------------------------------------------------------------------


def test_small_groups_go_to_the_nearest_smallest_first():
    # clusters {0, 1, 2}, {3, 4, 5}, {6}, {7, 8}: 6 is nearest to {7, 8}, which then has three
    d = np.full((9, 9), 1.0)
    for part in ([0, 1, 2], [3, 4, 5], [7, 8]):
        d[np.ix_(part, part)] = 0.1
    d[6, 7:] = d[7:, 6] = 0.5
    np.fill_diagonal(d, 0)
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 3, 3])
    assert raise_to_floor(labels, d, 1).tolist() == labels.tolist()
    assert raise_to_floor(labels, d, 2).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert raise_to_floor(labels, d, 3).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert raise_to_floor(labels, d, 5).tolist() == [0] * 9
    assert raise_to_floor(labels, d, 50).tolist() == [0] * 9


def test_a_floor_between_equals_takes_the_smallest_first_member():
    d = np.ones((4, 4)) - np.eye(4)
    d[2, 3] = d[3, 2] = 0.9
    assert raise_to_floor(np.array([0, 1, 2, 3]), d, 2).tolist() == [0, 0, 1, 1]
    d[2, 3] = d[3, 2] = 1  # 0 joins 1, then 2 joins what 0 is in
    assert raise_to_floor(np.array([0, 1, 2, 3]), d, 2).tolist() == [0, 0, 0, 0]


# -- how many ----------------------------------------------------------------------------------------


def test_silhouette_as_sklearn():
    from sklearn.metrics import silhouette_score

    d, labels = distances(3, 20), np.arange(20) % 4
    labels[0] = 4  # alone
    np.fill_diagonal(d, 0)
    labels = np.unique(labels, return_inverse=True)[1]
    assert np.isclose(silhouette(d, labels), silhouette_score(d, labels, metric="precomputed"), atol=1e-12)
    assert silhouette(d, np.zeros(20, int)) == 0 and silhouette(d, np.arange(20)) == 0
    assert silhouette(np.zeros((4, 4)), np.array([0, 0, 1, 1])) == 0


def planted(k, each, seed=0, noise=0.25):
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(40, k)))[0].T
    x = np.repeat(centres, each, 0) + noise * rng.normal(size=(k * each, 40)) / np.sqrt(40)
    x /= np.linalg.norm(x, axis=1)[:, None]
    out = np.triu(np.maximum(1 - x @ x.T, 0), 1)
    return out + out.T


@pytest.mark.parametrize("rule", ["silhouette", "gap"])
@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_a_rule_finds_the_planted_number(rule, k):
    d = planted(k, 6)
    found = merge(d)
    assert choose(rule, scores(rule, found, d, 12)[None], len(d)) == k


@pytest.mark.parametrize("rule", ["silhouette", "gap"])
def test_one_group_where_there_is_no_structure(rule):
    rng = np.random.default_rng(0)
    x = 5 + rng.normal(size=(30, 200))  # one cloud, seen from far
    x /= np.linalg.norm(x, axis=1)[:, None]
    d = np.maximum(1 - x @ x.T, 0)
    assert choose(rule, scores(rule, merge(d), d, 10)[None], 30) == 1
    same = np.ones((6, 6)) - np.eye(6)
    assert choose(rule, scores(rule, merge(same), same, 10)[None], 6) == 1
    assert choose(rule, scores(rule, merge(d[:2, :2]), d[:2, :2], 10)[None], 2) == 1


def test_the_number_changes_by_at_most_one_and_follows_the_mean_of_the_rounds():
    def row(best):
        return np.where(np.arange(2, 8) == best, 0.9, 0.2)

    assert choose("silhouette", np.stack([row(6)]), 20) == 6
    assert choose("silhouette", np.stack([row(6)]), 20, last=3) == 4
    assert choose("silhouette", np.stack([row(2)]), 20, last=6) == 5
    assert choose("silhouette", np.stack([row(6), row(3), row(3)]), 20) == 3
    # cuts that this cohort is too small for do not count, although earlier cohorts had them
    assert choose("silhouette", np.stack([row(6), row(6), row(3)]), 5) == 3
    # ties: fewer
    assert choose("silhouette", np.full((1, 6), 0.5), 20) == 2
