"""Lots: who comes together stands for the run, and no sum tells more than sums over lots."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.lots import Lots
from disue.core.rounds import draw_cohort
from disue.core.streams import Streams
from fakes import world

IDS = np.array([4001, 17, 902, 33, 5, 2600, 71, 12, 88, 9, 300])


def test_lots_by_hand():
    """Eleven clients in lots of three: 3, 3 and the last with what is left over, 5."""
    lots = Lots.cut(IDS, 3, Streams(0))
    assert lots.ids.tolist() == sorted(IDS.tolist())
    assert sorted(lots.sizes().tolist()) == [3, 3, 5]
    assert Lots.cut(IDS, 99, Streams(0)).count == 1
    again = Lots.read(lots.plain())
    assert again.ids.tolist() == lots.ids.tolist() and again.of.tolist() == lots.of.tolist()
    assert lots.whole(lots.members(1)).tolist() == [1]
    assert lots.whole(lots.members(1)[1:]).tolist() == []
    assert lots.whole(IDS).tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="≥ 1 client, got 0"):
        Lots.cut(IDS, 0, Streams(0))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 5000), min_size=1, max_size=40, unique=True),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(0, 99),
)
def test_every_client_is_in_one_lot_within_its_group_and_its_larger_lot(ids, size, times, seed):
    ids = np.array(ids)
    groups = Groups.make({int(i): int(i) % 3 for i in ids})
    small = Lots.cut(ids, size, Streams(seed), groups, within=size * times)
    large = Lots.cut(ids, size * times, Streams(seed), groups)
    assert np.array_equal(np.sort(np.concatenate([small.members(at) for at in range(small.count)])), np.sort(ids))
    for lot in range(small.count):
        members = small.members(lot)
        assert np.unique(groups.at(members)).size == 1
        assert np.unique(large.of[np.searchsorted(large.ids, members)]).size == 1
        whole_group = groups.members(int(groups.at(members)[0])).size
        assert members.size >= min(size, whole_group) and members.size < 2 * size + (members.size == whole_group)


def test_shares_are_of_the_lots_members():
    lots = Lots(np.array([1, 2, 3, 4, 5]), np.array([0, 0, 1, 1, 1]))
    groups = Groups.make({1: 7, 3: 7, 4: 9, 5: 9})
    assert lots.shares(groups).tolist() == [[0.5, 1 / 3], [0.0, 2 / 3]]
    assert lots.as_groups(np.array([1])).as_dict() == {3: 1, 4: 1, 5: 1}
    assert lots.as_groups(np.zeros(0, np.int64)).numbers.size == 0


def test_cohorts_are_whole_lots():
    at = world(IDS.tolist())
    lots = Lots.cut(IDS, 3, Streams(1))
    met = set()
    for round in range(20):
        cohort = draw_cohort(at, round, 4, lots)
        assert cohort.tolist() == draw_cohort(at, round, 4, lots).tolist() == sorted(cohort.tolist())
        whole = lots.whole(cohort)
        assert whole.size == 1 and lots.among(whole).tolist() == cohort.tolist()
        met |= set(whole.tolist())
    assert met == {0, 1, 2}
    assert draw_cohort(at, 0, 99, lots).tolist() == sorted(IDS.tolist())


def test_sums_over_changing_cohorts_give_clients_away_and_whole_lots_do_not():
    """The rank of the released sums: with lots it stays at the number of lots, whatever the number of rounds."""
    ids = np.arange(24)
    at = world(ids.tolist())
    lots = Lots.cut(ids, 4, Streams(0))
    single = np.array([np.isin(ids, draw_cohort(at, r, 8)) for r in range(100)], float)
    whole = np.array([np.isin(ids, draw_cohort(at, r, 8, lots)) for r in range(100)], float)
    assert np.linalg.matrix_rank(single) == 24
    assert np.linalg.matrix_rank(whole) == lots.count == 6
