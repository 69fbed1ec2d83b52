"""Intervals, tests and ranks, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import scipy.stats

from disue.study.statistics import holm, mean, paired, ranks, t_test


def test_intervals_are_those_of_student() -> None:
    values = [43.0, 42.4, 45.1, 41.7, 44.2]
    found = mean(values)
    low, high = scipy.stats.t.interval(0.95, 4, loc=found.mean, scale=scipy.stats.sem(values))
    assert found.mean - found.half == pytest.approx(low)
    assert found.mean + found.half == pytest.approx(high)
    assert found.apart
    only = paired({0: 5.0, 2: 7.0, 9: 1.0}, {2: 6.5, 0: 4.0, 5: 0.0})
    assert only is not None and only.n == 2 and only.mean == pytest.approx(0.75)
    assert paired({0: 1.0}, {1: 1.0}) is None


def test_the_paired_test_by_hand() -> None:
    """Differences 1 … 5: mean 3, s² = 2.5, so t = 3 / √(2.5 / 5) = 4.2426 with 4 degrees of freedom.

    With 4 degrees of freedom the distribution function is 1/2 + t (6 + t²) / (2 (4 + t²)^(3/2)).
    """
    t = 3 / math.sqrt(0.5)
    above = 0.5 - t * (6 + t * t) / (2 * (4 + t * t) ** 1.5)
    assert t_test([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 * above)
    assert t_test([-1.0, -2.0, -3.0, -4.0, -5.0]) == pytest.approx(2 * above)
    assert t_test([1.0, 2.0, 3.0, 4.0]) is None  # four seeds describe
    assert (t_test([0.0] * 5), t_test([2.0] * 5)) == (1.0, 0.0)


def test_holm_by_hand() -> None:
    """Four p: 0.005·4 = 0.02, 0.011·3 = 0.033, 0.02·2 = 0.04, 0.04·1 = 0.04; the order of the family stays."""
    assert holm([0.02, 0.005, 0.04, 0.011], 4) == pytest.approx([0.04, 0.02, 0.04, 0.033])
    assert holm([0.01, 0.04, 0.03], 3) == pytest.approx([0.03, 0.06, 0.06])  # 0.04·1 is lifted to 0.03·2
    assert holm([0.6, 0.7], 2) == [1.0, 1.0]
    # what is planned and not there yet counts in the family: 0.01·3, then 0.02·2
    assert holm([None, 0.02, 0.01], 3) == [None, pytest.approx(0.04), pytest.approx(0.03)]
    assert holm([], 0) == []


def test_ranks_by_hand() -> None:
    """Three rows in six settings: a best five times, once shares the first place with b.

    Ranks: a (5·1 + 1.5) / 6, b (5·2 + 1.5) / 6, c 3. Nemenyi's difference for k = 3 is 2.343 · √(12 / 36) with
    q(0.05) = 2.343 from the published table.
    """
    found = ranks({"a": [9, 9, 9, 9, 9, 5], "b": [5, 5, 5, 5, 5, 5], "c": [1, 1, 1, 1, 1, 1]})
    assert found is not None
    assert found.ranks == pytest.approx({"a": 6.5 / 6, "b": 11.5 / 6, "c": 3.0})
    assert found.critical == pytest.approx(2.343 * math.sqrt(12 / 36), abs=1e-3)
    assert found.p < 0.01
    assert ranks({"a": [1.0] * 5, "b": [2.0] * 5, "c": [3.0] * 5}) is None  # five settings
    assert ranks({"a": [1.0] * 6, "b": [2.0] * 6}) is None  # two rows
    same = ranks({name: [1.0] * 6 for name in "abc"})
    assert same is not None and (same.p, set(same.ranks.values())) == (1.0, {2.0})
