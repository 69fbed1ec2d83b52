"""Who leads and who holds shares is drawn by hash: nobody's choice, and a matter of ids, not of positions."""

from __future__ import annotations

import hashlib

import pytest

from disue.secure.wire.roster import Roster
from disue.secure.wire.rules import holders, leaders, threshold
from secure_by_hand import key


@pytest.mark.parametrize(
    ("drawn", "label", "everybody", "count"), [(leaders, "leader", 32, 16), (holders, "holder", 64, 64)]
)
def test_all_of_a_small_cohort_and_the_lowest_hashes_of_a_large_one(drawn, label, everybody: int, count: int) -> None:
    roster = Roster.of({key(f"client {index}")[:16]: key(f"identity {index}") for index in range(100)})
    small = tuple(range(5, 5 + everybody))
    assert drawn(roster, key("ctx"), small) == small
    large = range(3, 4 + everybody + 20)
    rank = {i: hashlib.sha256(f"disue/1/{label}\0".encode() + key("ctx") + roster.ids[i]).digest() for i in large}
    assert drawn(roster, key("ctx"), large) == tuple(sorted(sorted(large, key=rank.__getitem__)[:count]))
    assert drawn(roster, key("ctx"), large) != drawn(roster, key("next round"), large)


def test_two_thirds_and_one() -> None:
    assert [threshold(count) for count in (3, 4, 5, 6, 7, 10, 64)] == [3, 3, 4, 5, 5, 7, 43]
    for h in range(3, 65):
        c = -(-h // 3) - 1  # so many colluders answer with both kinds of share
        assert 2 * threshold(h) > (h - c) + 2 * c
