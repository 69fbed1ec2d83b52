"""Shares: golden, any threshold of them, and exactly nothing below it (every polynomial over a small prime)."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disue.secure.wire.names import BadShares
from disue.secure.wire.shamir import PRIME, SHARE, Field, combine, lagrange, split
from secure_by_hand import frozen


def bytes_of(*values: int):  # a source of given coefficients, then none
    given = iter(values)
    return lambda size: next(given).to_bytes(size, "little")


def test_golden_shares_and_two_subsets() -> None:
    told = frozen("shamir")
    secret, *rest = (int.from_bytes(bytes.fromhex(one), "little") for one in told["coefficients"])
    shares = split(secret.to_bytes(32, "little"), 7, told["threshold"], bytes_of(*rest))
    assert [share.hex() for share in shares] == told["shares"]
    for subset in told["subsets"]:
        assert combine({at: shares[at] for at in subset}, told["threshold"]).hex() == told["secret"]


def test_by_hand_over_eleven() -> None:
    """f = 7 + 3x + 2x² mod 11 at 1, 2, 3, 4 is 1, 10, 1, 7; at 0 from {1, 2, 4}: 1·(8/3) − 10·2 + 7·(1/3) = 7."""
    field = Field(11)
    assert field.values([7, 3, 2], 4) == [1, 10, 1, 7]
    assert field.combine({0: 1, 1: 10, 3: 7}) == 7 and field.combine({1: 10, 2: 1, 3: 7}) == 7
    assert lagrange((0, 1, 3), 11) == (8 * 4 % 11, -2 % 11, 4)


@pytest.mark.parametrize(("holders", "threshold"), [(3, 2), (4, 3), (4, 1), (3, 3)])
def test_below_the_threshold_every_secret_is_equally_likely(holders: int, threshold: int) -> None:
    prime, field = 5, Field(5)
    for seen in combinations(range(holders), threshold - 1):
        views = Counter()
        for coefficients in product(range(prime), repeat=threshold):
            values = field.values(list(coefficients), holders)
            views[coefficients[0], tuple(values[at] for at in seen)] += 1
            for chosen in combinations(range(holders), threshold):
                assert field.combine({at: values[at] for at in chosen}) == coefficients[0]
        assert len(views) == prime**threshold and set(views.values()) == {1}


@given(st.binary(min_size=32, max_size=32), st.data())
@settings(max_examples=40, deadline=None)
def test_any_threshold_of_the_holders_reconstructs(secret: bytes, data: st.DataObject) -> None:
    holders = data.draw(st.integers(1, 12))
    threshold = data.draw(st.integers(1, holders))
    random = data.draw(st.randoms(use_true_random=False))
    shares = split(secret, holders, threshold, random.randbytes)
    assert all(len(share) == SHARE for share in shares)
    chosen = data.draw(st.permutations(range(holders)))[: data.draw(st.integers(threshold, holders))]
    assert combine({at: shares[at] for at in chosen}, threshold) == secret
    if threshold > 1:
        with pytest.raises(BadShares):
            combine({at: shares[at] for at in chosen[: threshold - 1]}, threshold)


def test_the_largest_secret_and_draws_beyond_the_prime() -> None:
    assert Field(PRIME).draw(bytes_of(2**264 - 1, PRIME, PRIME - 1)) == PRIME - 1
    assert combine(dict(enumerate(split(b"\xff" * 32, 2, 2, bytes_of(5)))), 2) == b"\xff" * 32


def test_no_secret_has_these_shares() -> None:
    with pytest.raises(BadShares):
        combine({0: (2**256).to_bytes(33, "little")}, 1)  # an element of the field, but no 32 bytes
    for bad in (PRIME.to_bytes(33, "little"), bytes(32), bytes(34)):
        with pytest.raises(BadShares):
            combine({0: bad}, 1)


@pytest.mark.parametrize(("holders", "threshold"), [(3, 0), (3, 4), (0, 0)])
def test_thresholds_that_are_none(holders: int, threshold: int) -> None:
    with pytest.raises(ValueError):
        split(bytes(32), holders, threshold, bytes)


def test_the_prime_is_the_smallest_above() -> None:
    """Fermat's test to a few bases for every odd number up to it."""
    odd = [2**256 + add for add in range(1, 298, 2)]
    assert [n for n in odd if all(pow(base, n - 1, n) == 1 for base in (2, 3, 5))] == [PRIME]
