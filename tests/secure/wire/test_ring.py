"""Fixed point modulo 2^64: edges, exact sums, the bound that a sum cannot pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disue.secure.wire.names import NonFinite, OutOfBound
from disue.secure.wire.ring import BLOCK, decode, encode, fits
from secure_by_hand import fixed, frozen


def test_golden_edges() -> None:
    for row in frozen("fixed"):
        value = float.fromhex(row["value"])
        got = encode(np.array([value]), row["bits"], abs(value), "x")
        assert f"{int(got[0]):016x}" == row["ring"] == f"{fixed(value, row['bits']):016x}", row


@pytest.mark.parametrize("at", [0, BLOCK - 1, BLOCK, 2 * BLOCK + 1])
def test_a_value_beyond_the_bound_is_refused_wherever_it_stands(at: int) -> None:
    values = np.zeros(2 * BLOCK + 2)
    for sign in (1, -1):
        values[at] = sign * 8.0
        assert decode(encode(values, 32, 8.0, "update"), 32)[at] == sign * 8
        values[at] = sign * np.nextafter(8.0, 9.0)
        with pytest.raises(OutOfBound, match="update"):
            encode(values, 32, 8.0, "update")
    for bad in (np.nan, np.inf, -np.inf):
        values[at] = bad
        with pytest.raises(NonFinite):
            encode(values, 32, np.inf, "update")


def test_what_the_ring_cannot_hold_is_refused_whatever_the_bound() -> None:
    with pytest.raises(OutOfBound):
        encode(np.array([2.0**63]), 0, np.inf, "x")
    with pytest.raises(OutOfBound):
        encode(np.array([-(2.0**31)]), 32, np.inf, "x")
    with pytest.raises(OutOfBound):
        encode(np.array([1.0]), 32767, np.inf, "x")
    assert encode(np.array([1.0]), -32768, np.inf, "x") == 0


@pytest.mark.parametrize("bad", [np.inf, np.nan, -1.0])
def test_bounds_that_are_none_never_fit(bad: float) -> None:
    assert not fits(1, bad, 1.0, 0) and not fits(1, 1.0, bad, 0) and not fits(2, 1.0, 1.0, 32767)


def test_nothing_is_a_vector_too() -> None:
    assert encode(np.empty(0), 32, 8.0, "x").size == decode(np.empty(0, np.uint64), 3).size == 0


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_sum_of_encodings_is_encoding_of_the_sum(data: st.DataObject) -> None:
    members, bits = data.draw(st.integers(1, 9)), data.draw(st.integers(0, 20))
    rows = data.draw(st.lists(st.lists(st.integers(-(2**30), 2**30), min_size=3, max_size=3), min_size=members))
    order = data.draw(st.permutations(range(len(rows))))
    total = np.zeros(3, np.uint64)
    for at in order:
        total += encode(np.array(rows[at], float), bits, 2.0**30, "x")
    assert decode(total, bits).tolist() == [sum(column) for column in zip(*rows, strict=True)]


@given(st.lists(st.floats(-8, 8), min_size=1, max_size=30), st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_off_by_half_a_step_at_most(values: list[float], bits: int) -> None:
    array = np.array(values)
    assert np.abs(decode(encode(array, bits, 8.0, "x"), bits) - array).max() <= 2.0 ** -(bits + 1)


@given(st.integers(1, 2**12), st.integers(1, 2**24), st.integers(1, 2**20), st.integers(0, 32))
@settings(max_examples=200, deadline=None)
def test_the_bound_is_tight(members: int, bound: int, weight: int, bits: int) -> None:
    """`fits` says yes exactly where the largest sum still decodes to itself."""
    largest = members * bound * weight * 2**bits
    assert fits(members, bound, weight, bits) == (largest < 2**63)
    wrapped = largest % 2**64
    kept = wrapped - 2**64 * (wrapped >= 2**63) == largest
    assert fits(members, bound, weight, bits) == kept


def test_one_above_overflows() -> None:
    assert fits(1024, 8.0, 2.0**16, 32) and fits(2**11 - 1, 1.0, 2.0**20, 32) and not fits(2**11, 1.0, 2.0**20, 32)
    total = np.zeros(1, np.uint64)
    for _ in range(2**11):
        total += encode(np.array([2.0**20]), 32, 2.0**20, "x")
    assert decode(total, 32)[0] == -(2.0**31)
    assert fits(2**12, 2.0**51 - 1, 1.0, 0) and not fits(2**12, 2.0**51 - 0.5, 1.0, 0), "each rounds up to 2^51"
