import numpy as np
import pytest

from disue.core.groups import Groups
from disue.evaluation import by_group, evaluations, last, recovery, rounds_to


def test_last_is_the_mean_of_the_last_rounds_and_never_the_best():
    rows = [{"round": r, "a": float(r), "b": 99.0 if r == 5 else None} for r in range(1, 31)]
    assert last(rows) == {"a": {"final": 30.0, "last10": 25.5}}
    assert evaluations(rows, "a") == 10 and evaluations(rows, "b") == 0


def test_last_of_a_short_or_thin_run():
    rows = [{"round": 0, "a": 1.0}, {"round": 1, "a": float("nan")}, {"round": 2, "a": 4.0}]
    assert last(rows) == {"a": {"final": 4.0, "last10": 4.0}}  # row 0 is the model before training
    assert last(rows[:1]) == {"a": {"final": 1.0, "last10": 1.0}}
    assert last([]) == {}


def test_rounds_to_wants_three_in_a_row():
    rounds = [0, 10, 20, 30, 40]
    assert rounds_to(rounds, [10, 60, 10, 50, 50], 50) is None
    assert rounds_to(rounds, [10, 60, 40, 50, 50], 50) == 10
    assert rounds_to(rounds, [10, 20, 60, 40, 90], 50) == 20
    assert rounds_to(rounds, [90, float("nan"), 90, 0, 0], 60) == 0
    assert rounds_to(rounds, [10, 90, 90, 90, 90], 50) == 10, "what comes later does not count for an earlier round"
    assert rounds_to([1], [99.0], 50) is None


def test_recovery_under_other_names_and_without_those_never_placed():
    groups = Groups.make({4001: 7, 17: 7, 902: 3, 5: 3})
    truth = {4001: 0, 17: 0, 902: 1, 5: 1, 66: 0}
    found = recovery(groups, truth, np.array([4001, 17, 902, 5, 66]))
    assert found == pytest.approx({"groups": 2.0, "unplaced": 1.0, "ari": 1.0, "ami": 1.0})
    assert "ari" not in recovery(groups, None, np.array([17]))
    # one of four in the wrong group: sklearn's definition by hand, ARI = (1 − 1) / (2.5 − 1) → 0
    wrong = recovery(Groups.make({1: 0, 2: 0, 3: 0, 4: 1}), {1: 0, 2: 0, 3: 1, 4: 1}, np.array([1, 2, 3, 4]))
    assert wrong["ari"] == pytest.approx(0.0)


def test_by_group_is_by_id():
    groups = Groups.make({4001: 7, 17: 7, 902: 3}, numbers=[9])
    found = by_group(groups, np.array([902, 17, 4001]), np.array([10.0, np.nan, 30.0]))
    assert found == {3: 10.0, 7: 30.0}
