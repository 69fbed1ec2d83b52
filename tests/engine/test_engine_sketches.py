"""Similarity of more clients than a matrix is made for."""

import numpy as np
import pytest
from engine_bed import Erm, bed

from disue.core.sketches import Sketched
from disue.core.streams import Streams
from disue.core.uploads import Gram
from disue.engine import linear, plain


def draws(block):
    return Streams(0)("sketch", 3, block)


def pairs(n, d, seed=0):
    rng = np.random.default_rng(seed)
    start = rng.normal(size=d).astype(np.float32)
    return [(start + rng.normal(size=d).astype(np.float32), start) for _ in range(n)]


def exact(rows):
    return np.stack([end.astype(np.float64) - start for end, start in rows])


@pytest.mark.parametrize("width", [64, 256])
def test_the_error_of_a_cosine_is_one_over_the_root_of_the_width(width):
    rows = pairs(120, 3_000)
    given = np.zeros((0, 3_000), np.float32)
    found = Sketched(np.arange(120), *linear.sketch(rows, given, np.arange(3_000), draws, width)).cosine()
    true = Gram.of(np.arange(120), exact(rows) @ exact(rows).T).cosine()
    error = (found.values - true.values)[np.triu_indices(120, 1)]
    assert np.sqrt(np.mean(error**2)) == pytest.approx(1 / np.sqrt(width), rel=0.1)
    assert abs(error.mean()) < 0.2 / np.sqrt(width)
    assert (np.diag(found.values) == 1).all() and np.abs(found.values).max() <= 1 + 1e-6


def test_norms_and_anchors_are_exact_and_a_short_part_is_not_sketched(monkeypatch):
    monkeypatch.setattr(linear, "BLOCK", 700)  # several blocks of columns
    rows, columns = pairs(8, 3_000), np.arange(0, 3_000, 2)
    anchors = np.random.default_rng(1).normal(size=(2, 3_000)).astype(np.float32)
    true, ours = exact(rows)[:, columns], anchors[:, columns].astype(np.float64)
    for width in (16, 400):
        found, lengths, crossed, squares = linear.sketch(rows, anchors, columns, draws, width)
        np.testing.assert_allclose(lengths, np.linalg.norm(true, axis=1), rtol=1e-12)
        np.testing.assert_allclose(crossed, ours @ true.T, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(squares, ours @ ours.T, rtol=1e-9)
        assert found.shape == ((8, 16) if width == 16 else (8, 1_500))
    assert np.array_equal(found, true.astype(np.float32))


def test_the_same_stream_gives_the_same_sketch_of_one_row_in_any_company():
    rows, none, columns = pairs(5, 2_000), np.zeros((0, 2_000), np.float32), np.arange(2_000)
    all_five = linear.sketch(rows, none, columns, draws, 32)[0]
    alone = linear.sketch(rows[3:4], none, columns, draws, 32)[0]
    assert np.array_equal(all_five[3], alone[0])
    other = linear.sketch(rows, none, columns, lambda block: Streams(1)("sketch", 3, block), 32)[0]
    assert not np.array_equal(all_five, other)


def test_the_door_sketches_only_above_its_limit(monkeypatch):
    b = bed("mlp")
    uploads = b.train(Erm(epochs=1, batch=5, lr=0.2))
    starts = b.start[None, :]
    true = uploads.cosine(anchors=starts)
    assert type(true) is Gram
    monkeypatch.setattr(plain, "EXACT", 2)  # three clients are too many
    found = uploads.cosine(anchors=starts)
    assert isinstance(found, Sketched) and found.ids.tolist() == true.ids.tolist()
    np.testing.assert_allclose(found.values, true.values, atol=1e-5)  # so short a model is not sketched
    np.testing.assert_allclose(found.anchors, true.anchors, atol=1e-9)
    turned = found.among(found.ids[::-1])
    np.testing.assert_allclose(turned.values, found.values[::-1, ::-1], atol=1e-7)
    np.testing.assert_allclose(turned.anchors, found.anchors[:, ::-1])


def test_a_zero_update_has_cosine_zero_to_all_and_one_to_itself():
    rows = pairs(3, 50)
    rows[1] = (rows[1][1], rows[1][1])
    none = np.zeros((0, 50), np.float32)
    found = Sketched(np.arange(3), *linear.sketch(rows, none, np.arange(50), draws)).cosine()
    assert found.values[1].tolist() == [0.0, 1.0, 0.0]
