"""Masks: golden streams and signs, block by block the same, and nothing left in any sum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disue.secure.wire.masks import BLOCK, add, cover, partners, sign
from secure_by_hand import frozen, key, masked, words


def ring(rows: list[list[str]]) -> np.ndarray:
    return np.array([[int(x, 16) for x in row] for row in rows], np.uint64)


def test_golden_stream() -> None:
    into = np.zeros(5, np.uint64)
    add(into, bytes.fromhex(frozen("masks")["key"]))
    assert into.tobytes().hex() == frozen("masks")["stream"]


def test_golden_group_of_three() -> None:
    told = frozen("masks")
    pairs = {(row["low"], row["high"]): bytes.fromhex(row["key"]) for row in told["pairs"]}
    vectors, selfs = ring(told["vectors"]), [bytes.fromhex(one) for one in told["self"]]
    uploads = vectors.copy()
    for me in range(3):
        mine = {sum(pair) - me: one for pair, one in pairs.items() if me in pair}
        cover(uploads[me], me, selfs[me], mine)
    assert (uploads == ring(told["masked"])).all()
    assert uploads.tolist() == masked(vectors.tolist(), selfs, pairs)
    total = uploads.sum(axis=0, dtype=np.uint64)
    for one in selfs:
        add(total, one, sign=-1)
    assert [f"{int(x):016x}" for x in total] == told["sum"]


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
def test_a_long_stream_is_one_stream(size: int) -> None:
    whole, part = np.arange(size, dtype=np.uint64), np.arange(size, dtype=np.uint64)
    add(whole, key("long"))
    given = words(key("long"), 8)
    by_hand = [(x + next(given)) % 2**64 for x in range(size)]
    assert whole.tolist() == by_hand
    add(whole, key("long"), sign=-1)
    assert (whole == part).all()


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_nothing_is_left_for_any_graph_and_any_that_drop(data: st.DataObject) -> None:
    """All self masks of the alive and all pair masks between alive and dropped removed: the sum of the alive."""
    members = data.draw(st.lists(st.integers(0, 10**6), min_size=2, max_size=12, unique=True))
    degree = 2 * data.draw(st.integers(1, 6))
    order = data.draw(st.permutations(members))
    alive = data.draw(st.sets(st.sampled_from(members), min_size=1))
    near = {me: partners(order, me, degree) for me in members}
    pair = lambda a, b: key(f"{min(a, b)} {max(a, b)}")  # noqa: E731
    secret = {me: np.full(3, me, np.uint64) for me in members}
    total = np.zeros(3, np.uint64)
    for me in alive:
        upload = secret[me].copy()
        cover(upload, me, key(f"self {me}"), {other: pair(me, other) for other in near[me]})
        total += upload
    for me in alive:
        add(total, key(f"self {me}"), sign=-1)
        for other in set(near[me]) - alive:
            add(total, pair(me, other), sign=-sign(me, other))
    assert (total == sum(secret[me] for me in alive)).all()


@given(st.integers(2, 200), st.integers(1, 40), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_partners_are_mutual_and_as_many_as_said(size: int, half: int, random) -> None:
    order = random.sample(range(1000), size)
    near = {me: partners(order, me, 2 * half) for me in order}
    for me, others in near.items():
        assert list(others) == sorted(set(others)) and me not in others
        assert len(others) == min(size - 1, 2 * half) or size <= 2 * half
        assert all(me in near[other] for other in others)


def test_partners_by_hand() -> None:
    assert partners([7, 3, 9, 1, 5], 9, 2) == (1, 3)
    assert partners([7, 3, 9, 1, 5], 7, 2) == (3, 5)
    assert partners([7, 3, 9], 9) == (3, 7)
    assert len(partners(range(64), 0)) == 63 and len(partners(range(65), 0)) == 64 == len(partners(range(500), 0))
    for odd in (0, 3, -2):
        with pytest.raises(ValueError, match="even"):
            partners([1, 2, 3], 1, odd)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        add(np.zeros(1, np.uint64), bytes(16))
