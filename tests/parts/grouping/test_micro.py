"""Linkage of thousands of clients: rows instead of a matrix, small clusters first."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from disue.core.sketches import Sketched
from disue.core.streams import Streams
from disue.core.uploads import Gram
from disue.parts.grouping import Linkage, micro
from disue.parts.grouping.merging import LINKAGES, merge, raise_to_floor
from disue.parts.grouping.number import silhouette, silhouette_from, sums_of
from disue.parts.grouping.points import Rows, Table, points_of
from fakes import FakeUploads, orders, world

STREAMS = Streams(0)


def planted(n, k=5, d=32, noise=0.3, seed=0):
    """Rows of unit length about k directions, one of them of one client in a hundred; and their group."""
    rng = np.random.default_rng(seed)
    of = np.where(rng.random(n) < 0.01, k - 1, rng.integers(0, k - 1, n))
    rows = rng.normal(size=(k, d))[of] + noise * rng.normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1)[:, None]).astype(np.float32), of


def sketched(rows, ids=None):
    n = len(rows)
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    ids = np.arange(n) if ids is None else np.asarray(ids)
    return Sketched(ids, rows, norms, np.zeros((0, n)), np.zeros((0, 0))).cosine()


def partition(labels):
    return sorted(tuple(np.flatnonzero(labels == g)) for g in np.unique(labels))


@pytest.mark.parametrize("kind", LINKAGES)
@pytest.mark.parametrize("n", [2_000, 10_000])
def test_planted_groups_are_recovered(n, kind):
    rows, of = planted(n)
    found = points_of(sketched(rows), STREAMS).merges(kind, 20)
    assert found.heights.size == n - 1 and (np.diff(found.heights) >= 0).all()
    assert adjusted_rand_score(of, found.labels(5)) == 1.0


@pytest.mark.parametrize("kind", LINKAGES)
def test_one_client_a_centre_is_the_exact_tree(kind):
    rows, _ = planted(60, noise=1.0)
    exact = merge(Table(Gram.of(np.arange(60), sketched(rows).values)).distances, kind)
    found = micro.merges(rows, kind, 60, STREAMS)
    assert np.allclose(found.heights, exact.heights, atol=1e-5)
    for other in (found, micro.tree(rows, kind)):
        assert [partition(other.labels(k)) for k in range(1, 61)] == [partition(exact.labels(k)) for k in range(1, 61)]


def test_small_clusters_are_weighted_by_their_members():
    # three directions: the first is nine clients; average linkage counts them, and not their one centre
    rows = np.array([[1, 0, 0]] * 9 + [[0.8, 0.6, 0]] + [[0.6, 0, 0.8]], np.float32)
    found = micro.merges(rows, "average", 3, STREAMS)
    assert found.labels(3).tolist() == [0] * 9 + [1, 2]
    assert np.allclose(found.heights[-2:], [0.2, (9 * 0.4 + 0.52) / 10], atol=1e-6)


def test_who_did_not_move_is_no_neighbour():
    rows, _ = planted(700)
    rows[5] = rows[60] = 0
    labels = micro.clusters(rows, 50, STREAMS)
    assert np.flatnonzero(labels == labels[5]).tolist() == [5, 60]
    assert points_of(sketched(rows), STREAMS).strangers().tolist() == [5, 60]


def test_small_clusters_hang_on_their_stream_alone():
    rows, of = planted(3_000)
    first = micro.clusters(rows, 100, STREAMS)
    assert np.array_equal(first, micro.clusters(rows, 100, Streams(0)))
    assert not np.array_equal(first, micro.clusters(rows, 100, Streams(1)))
    assert first.max() < 100 and all(np.unique(of[first == c]).size == 1 for c in range(first.max() + 1))


def test_rows_say_what_the_matrix_says():
    rows, of = planted(300, noise=0.6)
    rows[7] = 0
    gram = sketched(rows)
    values = gram.values
    by_rows, table = Rows(gram, STREAMS), Table(Gram.of(gram.ids, values))
    labels = raise_to_floor(of.astype(np.int64), table.distances, 1)
    np.testing.assert_allclose(by_rows.sums(labels), sums_of(table.distances, labels), atol=1e-4)
    np.testing.assert_allclose(by_rows.cosines(labels), table.cosines(labels), atol=1e-6)
    assert by_rows.strangers().tolist() == table.strangers().tolist() == [7]
    assert np.array_equal(by_rows.raised(labels, 70), table.raised(labels, 70))
    assert by_rows.cosines(np.zeros(300, np.int64))[1] is None
    assert by_rows.cosines(np.arange(300))[0] is None
    at, shown = by_rows.shown()
    assert np.array_equal(at, np.arange(300)) and np.allclose(shown, values)
    assert silhouette_from(by_rows.sums, labels) == pytest.approx(silhouette(table.distances, labels), abs=1e-5)


class Door(FakeUploads):
    """Answers of many clients, as rows."""

    def cosine(self, of=None, anchors=None):
        return sketched(np.stack([self.ends[int(i)] for i in self.ids]), self.ids)


@pytest.mark.parametrize("exact", [False, True])
def test_a_cohort_of_thousands_is_grouped_whatever_the_names(exact):
    rows, of = planted(5_200, k=4)
    part = Linkage(k=4, when="cohort", part="whole", exact=exact, floor=10)
    names = np.random.default_rng(2).permutation(90_000)[: len(rows)]
    for ids in (np.arange(len(rows)), names):
        at = world(ids.tolist(), rows.shape[1])
        door = Door({int(i): row for i, row in zip(ids, rows, strict=True)}, rows[0], at.layout)
        first = part.init(at)
        asked = orders(np.sort(ids).tolist(), np.zeros(rows.shape[1], np.float32))
        out = part.assign(at, first.groups, first.memory, asked, door, survey=False)
        assert adjusted_rand_score(of, out.groups.at(ids)) == 1.0 and out.info.values["groups_found"] == 4
        assert out.info.arrays["similarity"].shape == (1_000, 1_000)
        assert np.isin(out.info.arrays["similarity_ids"], ids).all()
