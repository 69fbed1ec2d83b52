"""The sketch: golden, by hand, the same however it is made, blind to length and order of clients."""

from __future__ import annotations

import numpy as np
import pytest

from disue.secure.client import sketch as module
from disue.secure.client.normals import gaussian
from disue.secure.client.sketch import Sketcher, Streams, count_sketch
from disue.secure.wire.estimate import cosines, cosines_of_bits, deviation
from disue.secure.wire.names import NonFinite, ZeroUpdate
from secure_by_hand import buckets, frozen, key
from secure_by_hand import sketch as by_hand

STREAMS = Streams(key("a"), key("b"), key("c"))


def vector(seed: int, d: int = 3000) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=d).astype(np.float32)


def test_golden_buckets_and_signs() -> None:
    told = frozen("countsketch")
    for j, (bucket, sign) in enumerate(zip(told["buckets"], told["signs"], strict=True)):
        unit = np.zeros(1000, np.float32)
        unit[j] = 1
        got = count_sketch(unit, bytes.fromhex(told["key"]), told["m"])
        assert got[bucket] == sign and np.abs(got).sum() == 1


def test_golden_sketch() -> None:
    told = frozen("sketch")
    update = np.sin(np.arange(5000)).astype(np.float32)
    got = Sketcher(Streams(*map(bytes.fromhex, told["streams"])), told["k"], told["m"]).sketch(update)
    assert got.dtype == np.int16 and np.abs(got - np.array(told["grid"])).max() <= 1
    assert (got != told["grid"]).mean() <= 0.001


@pytest.mark.parametrize(("d", "k", "m"), [(10, 8, 1), (500, 16, 8), (70_000, 8, 512), (300, 2, 65536)])
def test_every_size_is_that_of_plain_python(d: int, k: int, m: int) -> None:
    update = vector(0, d)
    want = by_hand(update.tolist(), [STREAMS.countsketch, STREAMS.gaussian, STREAMS.extra], k, m)
    assert np.abs(Sketcher(STREAMS, k, m).sketch(update) - np.array(want)).max() <= 1


def test_buckets_beyond_one_block() -> None:
    d, m = module.BLOCK + 10, 64
    update = vector(1, d)
    want = np.zeros(m)
    for value, (bucket, sign) in zip(update.tolist(), buckets(STREAMS.countsketch, d, m), strict=True):
        want[bucket] += sign * value
    assert np.abs(count_sketch(update, STREAMS.countsketch, m) - want).max() < 1e-9


@pytest.mark.parametrize(("k", "m"), [(16, 256), (40, 4096), (3, 32768), (2, 65536)])
def test_a_kept_matrix_gives_the_bytes_of_a_streamed_one(k: int, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    updates = [vector(seed) for seed in range(3)]
    kept = Sketcher(STREAMS, k, m)
    first = [kept.sketch(update).tobytes() for update in updates]
    assert first == [kept.sketch(update).tobytes() for update in updates]
    monkeypatch.setattr(module, "HELD", 0)
    streamed = Sketcher(STREAMS, k, m)
    assert first == [streamed.sketch(update).tobytes() for update in updates]
    direction = kept.direction(updates[0])
    assert np.allclose(kept.project(direction), gaussian(STREAMS.gaussian, STREAMS.extra, k, m) @ direction, atol=1e-12)


def test_length_is_not_in_it() -> None:
    update = vector(2)
    want = Sketcher(STREAMS, 64, 256).sketch(update).tolist()
    for scale in (2.0**-140, 2.0**-20, 4.0, 2.0**120):
        assert Sketcher(STREAMS, 64, 256).sketch(update * np.float32(scale)).tolist() == want or scale == 2.0**-140
    assert (Sketcher(STREAMS, 64, 256).sketch(-update) == -np.array(want)).all()
    tiny = (update * np.float32(2.0**-140)).astype(np.float32)  # subnormal: few bits are left of it, but a direction
    assert np.corrcoef(Sketcher(STREAMS, 64, 256).sketch(tiny), want)[0, 1] > 0.999


def test_what_has_no_direction() -> None:
    sketcher = Sketcher(STREAMS, 8, 64)
    with pytest.raises(ZeroUpdate):
        sketcher.sketch(np.zeros(100, np.float32))
    for bad in (np.nan, np.inf, -np.inf):
        update = vector(3, 100)
        update[[7, 50]] = bad, -bad
        with pytest.raises(NonFinite):
            sketcher.bits(update)


def test_cosines_come_back_within_their_error() -> None:
    """A hundred seeds, three vectors at cosines 0.8, 0, 0: mean right, spread as `deviation` says, signs too."""
    d, k, m = 2000, 64, 512
    basis = np.linalg.qr(np.random.default_rng(4).normal(size=(d, 3)))[0].T
    updates = np.stack([basis[0], 0.8 * basis[0] + 0.6 * basis[1], basis[2]]).astype(np.float32)
    found, signs = [], []
    for seed in range(100):
        sketcher = Sketcher(Streams(*(key(f"{name} {seed}") for name in "abc")), k, m)
        found.append(cosines(np.stack([sketcher.sketch(update) for update in updates]))[np.triu_indices(3, 1)])
        signs.append(cosines_of_bits(np.stack([sketcher.bits(update) for update in updates]), k)[np.triu_indices(3, 1)])
    for at, rho in enumerate((0.8, 0.0, 0.0)):
        spread = deviation(rho, k, m)
        got = np.array(found)[:, at]
        assert abs(got.mean() - rho) < 4 * spread / 10
        assert 0.75 * spread < got.std() < 1.3 * spread
        assert abs(np.array(signs)[:, at].mean() - rho) < 4 * 1.6 * spread / 10


def test_sizes_that_are_none() -> None:
    for m in (0, 3, 100, 2**32):
        with pytest.raises(ValueError, match="power of two"):
            count_sketch(vector(0, 10), STREAMS.countsketch, m)
    with pytest.raises(ValueError, match="multiple of 8"):
        Sketcher(STREAMS, 12, 16).bits(vector(0, 10))
