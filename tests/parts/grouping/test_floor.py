"""The floor: groups too small for a sum of their own are merged by their models, or left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.parts.grouping.floor import Floor

GROUPS = Groups.make({11: 0, 12: 0, 13: 0, 21: 1, 22: 1, 31: 2, 32: 2, 33: 2, 99: 1})
MODELS = np.array([[1, 0], [0.9, 0.3], [-1, 0.2]], np.float32)
AVERAGE = np.zeros(2, np.float32)


def test_the_small_group_counts_in_the_one_whose_model_is_most_alike():
    """About the mean (0.3, 0.17) group 1 points where group 0 does, and away from group 2."""
    ids = np.array([11, 12, 13, 21, 22, 31, 32, 33])
    counted, info = Floor(3).counted(GROUPS, MODELS, AVERAGE, ids)
    assert counted.among(ids).as_dict() == {11: 0, 12: 0, 13: 0, 21: 0, 22: 0, 31: 2, 32: 2, 33: 2}
    assert info.values == {"floor.merged": 2.0, "floor.skipped": 0.0}
    assert GROUPS.at(np.array([21]))[0] == 1, "its own group stays on record"


def test_skip_leaves_their_updates_out():
    ids = np.array([11, 12, 13, 21, 22, 31, 32, 33])
    counted, info = Floor(3, "skip").counted(GROUPS, MODELS, AVERAGE, ids)
    assert counted.among(ids).as_dict() == {11: 0, 12: 0, 13: 0, 31: 2, 32: 2, 33: 2}
    assert info.values["floor.skipped"] == 2.0


def test_fewer_than_the_floor_in_all_are_never_summed():
    ids = np.array([11, 21])
    for merge in ("nearest", "skip"):
        counted, info = Floor(3, merge).counted(GROUPS, MODELS, AVERAGE, ids)
        assert not counted.among(ids).ids.size and info.values["floor.skipped"] == 2.0


def test_a_floor_of_one_changes_nothing():
    counted, info = Floor().counted(GROUPS, MODELS, AVERAGE, np.array([11]))
    assert counted is GROUPS and not info.values


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 6), st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(0, 999))
def test_nobody_is_lost_and_no_sum_is_below_the_floor(least, of, seed):
    rng = np.random.default_rng(seed)
    groups = Groups.make({7 * i + 3: g for i, g in enumerate(of)}, numbers=range(5))
    models = rng.normal(size=(5, 4)).astype(np.float32)
    ids = groups.ids[rng.random(groups.ids.size) < 0.7]
    counted, _ = Floor(least).counted(groups, models, models.mean(0), ids)
    sizes = counted.among(ids).sizes()
    assert all(size == 0 or size >= least for size in sizes)
    assert sizes.sum() == (ids.size if ids.size >= least else 0)


@pytest.mark.parametrize(("given_", "said"), [({"members": 0}, "≥ 1, got 0"), ({"merge": "x"}, '"nearest" or "skip"')])
def test_wrong_values_are_one_sentence(given_, said):
    with pytest.raises(UserError, match=said):
        Floor(**given_)
