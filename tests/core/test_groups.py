"""Groups: ids are no positions, splits must account for everybody, names live on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from disue.core.errors import UserError
from disue.core.groups import UNKNOWN, Groups
from disue.core.method import inherit


def ints(*values):
    return np.array(values, np.int64)


def rows(*values):
    return np.array([[v, -v] for v in values], np.float32)


def test_at_members_sizes_and_rows_go_by_id():
    groups = Groups.make({4001: 2, 17: 5, 902: 2}, numbers=[9])
    assert groups.at(ints(902, 17, 5, 4001, 99999)).tolist() == [2, 5, UNKNOWN, 2, UNKNOWN]
    assert groups.members(2).tolist() == [902, 4001]
    assert groups.numbers.tolist() == [2, 5, 9] and groups.sizes().tolist() == [2, 1, 0]
    assert groups.rows(ints(9, 2, 3)).tolist() == [2, 0, -1]
    assert groups.present().tolist() == [2, 5]
    assert groups.among(ints(17)).as_dict() == {17: 5}
    assert groups.among(ints(17)).numbers.tolist() == [2, 5, 9]


def test_numbers_may_be_an_array():
    assert Groups.make({7: 1}, numbers=ints(0, 3)).numbers.tolist() == [0, 1, 3]


def test_negative_group_numbers_are_refused():
    with pytest.raises(UserError, match="≥ 0"):
        Groups.make({4001: -1})


def test_one_alone_and_empty():
    ids = ints(4001, 17, 902)
    assert Groups.one(ids).as_dict() == {17: 0, 902: 0, 4001: 0}
    assert Groups.alone(ids).as_dict() == {17: 0, 902: 1, 4001: 2}
    assert Groups.empty(2).numbers.tolist() == [0, 1] and not Groups.empty(2).ids.size
    assert Groups.empty(0).at(ids).tolist() == [UNKNOWN] * 3


def test_assign_moves_the_named_and_only_into_groups_that_exist():
    groups = Groups.make({4001: 0, 17: 0, 902: 1})
    assert groups.assign({17: 1, 5: 0}).as_dict() == {5: 0, 17: 1, 902: 1, 4001: 0}
    assert groups.as_dict() == {4001: 0, 17: 0, 902: 1}
    with pytest.raises(UserError, match="no group 7"):
        groups.assign({17: 7})


@pytest.mark.parametrize(
    "parts",
    [
        [[0, 1], [2]],  # positions instead of ids
        [[17, 902], []],  # somebody forgotten
        [[17, 902, 4001], [17]],  # somebody twice
        [[17, 902, 4001], [5]],  # a stranger
    ],
)
def test_a_split_is_refused_unless_its_parts_are_the_members(parts):
    groups = Groups.one(ints(4001, 17, 902))
    with pytest.raises(UserError, match="exactly the members"):
        groups.split(0, [ints(*part) for part in parts])


def test_a_split_of_a_group_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="no group 3"):
        Groups.empty(2).split(3, [])


def test_a_split_gives_fresh_numbers_and_parents():
    groups = Groups.make({4001: 0, 17: 0, 902: 1}).split(0, [ints(17), ints(4001)])
    assert groups.as_dict() == {17: 2, 902: 1, 4001: 3}
    assert groups.numbers.tolist() == [1, 2, 3] and groups.parents.tolist() == [-1, 0, 0]
    assert groups.born == 4


def test_nested_splits_in_one_go_inherit_from_the_first_group():
    before = Groups.make({4001: 0, 17: 0, 902: 0, 5: 1})
    after = before.split(0, [ints(17, 902), ints(4001)]).split(2, [ints(17), ints(902)])
    found = inherit(rows(7, 8), before, after, np.zeros(2, np.float32))
    # the numbers 1, 3, 4, 5: 1 stays, 3 is a child of 0, and 4 and 5 are children of the vanished 2
    assert after.numbers.tolist() == [1, 3, 4, 5]
    assert found[:, 0].tolist() == [8, 7, 7, 7]


def test_inherit_without_descent_and_with_vanished_groups():
    before = Groups.make({4001: 0, 17: 1, 902: 2})
    after = Groups.make({4001: 1, 17: 6})
    assert inherit(rows(1, 2, 3), before, after, np.full(2, 9, np.float32))[:, 0].tolist() == [2, 9]
    assert inherit(rows(1, 2, 3), before, Groups.empty(0), np.zeros(2, np.float32)).shape == (0, 2)


def test_match_keeps_names_gives_fresh_ones_and_leaves_the_absent():
    before = Groups.make({1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 90: 1})
    after = before.match([ints(4, 5), ints(1, 2), ints(3), ints(70)])
    assert after.as_dict() == {1: 0, 2: 0, 3: 2, 4: 1, 5: 1, 70: 3, 90: 1}
    assert after.parent_of() == {0: -1, 1: -1, 2: 0, 3: -1}


def test_match_ties_go_to_the_smallest_number_and_the_smallest_first_id():
    before = Groups.make({1: 4, 2: 7, 3: 4, 5: 7})
    assert before.match([ints(3, 5), ints(1, 2)]).as_dict() == {1: 4, 2: 4, 3: 7, 5: 7}
    # a new group of strangers before one that touches both standing groups
    assert Groups.make({5: 0, 6: 1}).match([ints(1, 2), ints(5, 6)]).as_dict() == {1: 2, 2: 2, 5: 0, 6: 0}
    # one standing group, two claims of one member each
    assert Groups.make({10: 3, 20: 3}).match([ints(20), ints(10)]).at(ints(10, 20)).tolist() == [3, 4]


def test_match_takes_the_largest_total_overlap_not_the_first():
    before = Groups.make({1: 0, 2: 0, 3: 0, 4: 1})
    # the part {1, 4} touches both; {2, 3} only group 0: total 2 + 1 beats 1 + 0
    assert before.match([ints(1, 4), ints(2, 3)]).as_dict() == {1: 1, 2: 0, 3: 0, 4: 1}


def test_match_refuses_a_client_in_two_groups():
    with pytest.raises(UserError, match="17"):
        Groups.empty(0).match([ints(17, 5), ints(17)])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=14), st.lists(st.integers(0, 4), min_size=14))
def test_match_accounts_for_everybody_and_never_reuses_a_number(old, new):
    ids = ints(*(7 * i + 3 for i in range(len(old))))
    before = Groups.make(dict(zip(ids.tolist(), old, strict=True)))
    found = [ids[np.array(new[: len(old)]) == g] for g in range(5)]
    after = before.match(found)
    assert after.ids.tolist() == ids.tolist()
    for part in found:
        assert len({*after.at(part).tolist()}) <= 1
    fresh = set(after.numbers.tolist()) - set(before.numbers.tolist())
    assert all(number >= before.born for number in fresh)
    again = before.match(found[::-1])  # the order in which groups are found does not matter
    assert again == after and np.array_equal(again.parents, after.parents)


def test_inhabited_drops_the_empty_and_keeps_the_descent():
    before = Groups.make({1: 0, 2: 0, 3: 1})
    after = before.match([ints(1, 2, 3)]).inhabited()
    assert after.numbers.tolist() == [0] and after.parent_of() == {0: -1, 1: -1}
    later = before.split(0, [ints(1, 2)]).inhabited()
    assert inherit(rows(5, 6), before, later, np.zeros(2, np.float32))[:, 0].tolist() == [6, 5]
