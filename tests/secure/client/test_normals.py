"""The normal numbers of a sketch: golden, drawn again in plain Python, and normal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from disue.secure.client.normals import BLOCK, R, blocks, gaussian, tables
from disue.secure.wire.stream import Stream
from secure_by_hand import frozen, key
from secure_by_hand import normals as by_hand

KEYS = key("one"), key("two")


def test_golden_draws() -> None:
    told = frozen("normals")
    got = gaussian(bytes.fromhex(told["key"]), bytes.fromhex(told["extra"]), 1, told["count"])[0]
    assert {row["how"] for row in told["draws"]} == {"fast", "wedge", "anew", "tail"}
    assert any(row["at"] >= BLOCK for row in told["draws"])
    for row in told["draws"]:
        want = float.fromhex(row["value"])
        assert abs(got[row["at"]] - want) <= 2 * np.spacing(abs(want)), row


@pytest.mark.parametrize("count", [1, 1000, BLOCK, BLOCK + 1, 2 * BLOCK + 17])
def test_every_draw_is_that_of_plain_python(count: int) -> None:
    want, how = by_hand(*KEYS, count)
    got = np.concatenate([block.copy() for block in blocks(*KEYS, count)])
    assert np.abs(got - np.array(want)).max() < 1e-14
    assert count < BLOCK or {"fast", "wedge", "anew", "tail"} == set(how)


def test_a_matrix_is_filled_row_by_row() -> None:
    assert (gaussian(*KEYS, 300, 128).ravel() == gaussian(*KEYS, 1, 300 * 128)[0]).all()


def test_layers_have_one_area_and_close() -> None:
    edges, heights = tables()
    area = edges[1:-1] * np.diff(heights)[1:]
    tail = math.sqrt(math.pi / 2) * math.erfc(R / math.sqrt(2))
    assert np.allclose(area, heights[1] * R + tail, rtol=1e-12)
    assert edges[0] * heights[1] == pytest.approx(heights[1] * R + tail, rel=1e-14)
    assert (np.diff(edges) < 0).all() and len(edges) == len(heights) == 257


def test_moments_tails_and_shape() -> None:
    """2^22 draws of fixed keys; each figure within 4 of its standard deviations."""
    x = gaussian(key("moments"), key("more moments"), 1024, 4096).ravel()
    n = x.size
    z = {power: (np.mean(x**power) - want) / math.sqrt(spread / n) for power, want, spread in (
        (1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170),
    )}  # fmt: skip
    assert max(map(abs, z.values())) < 4, z
    for edge in (0.5, 2.0, R, 4.0, 4.5):
        for side in (x, -x):
            want = n * stats.norm.sf(edge)
            assert abs((side > edge).sum() - want) < 4 * math.sqrt(want) + 1, edge
    assert stats.kstest(x[: 1 << 18], "norm").pvalue > 0.001
    edges = np.concatenate([-tables()[0][1:], tables()[0][-2:0:-1]])
    seen, want = np.histogram(x, edges)[0], n * np.diff(stats.norm.cdf(edges))
    assert stats.chisquare(seen, want * seen.sum() / want.sum()).pvalue > 0.001
    rows = x.reshape(1024, 4096)
    assert abs(np.mean(rows[:-1] * rows[1:])) < 4 / math.sqrt(n) and abs(np.mean(x[1:] * x[:-1])) < 4 / math.sqrt(n)


def test_a_stream_is_one_however_it_is_taken() -> None:
    one, other = Stream(KEYS[0], "<u8", 64), Stream(KEYS[0], "<u8", 64)
    whole = one.take(64).copy()
    parts = [other.take(count).copy() for count in (1, 7, 0, 3, 53)]
    assert (np.concatenate(parts) == whole).all()
