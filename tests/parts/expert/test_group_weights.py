"""Group weights, against numbers worked out by hand and general properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from disue.core.errors import UserError
from disue.parts.expert.weights import KINDS, group_weights

COUNTS = np.array([[30, 10, 0], [10, 30, 0]])

tables = hnp.arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 12)), elements=st.integers(0, 3000))
arguments = st.sampled_from(
    [("count", {}), ("count", {"gamma": 0.5, "rho": 2.0}), ("purity", {"power": 1.5})]
) | st.sampled_from([("softmax", {"temperature": 0.05}), ("uniform", {}), ("uniform-all", {})])


@pytest.mark.hand("disue-generator", "disue-generator-no-gwf", "disue-generator-neither")
def test_worked_check():
    """N_A = (30, 10, 0), N_B = (10, 30, 0): shares (¾, ¼) and (¼, ¾); nobody holds the third class."""
    assert group_weights("count", COUNTS)[0].tolist() == [0.75, 0.25, 0.0]
    # 30 · ¾ / (30 · ¾ + 10 · ¼) = 22.5 / 25
    assert group_weights("count", COUNTS, rho=1.0)[0, 0] == pytest.approx(0.9)
    assert group_weights("purity", COUNTS, power=1.0)[0, 0] == pytest.approx(0.9)
    # e^(0.75 / 0.2) / (e^(0.75 / 0.2) + e^(0.25 / 0.2))
    expected = math.exp(3.75) / (math.exp(3.75) + math.exp(1.25))
    assert group_weights("softmax", COUNTS)[0, 0] == pytest.approx(expected)
    assert group_weights("softmax", COUNTS)[0, 0] == pytest.approx(0.924, abs=1e-3)
    assert group_weights("uniform", COUNTS).tolist() == [[0.5, 0.5, 0.0]] * 2
    assert group_weights("uniform-all", COUNTS).tolist() == [[0.5, 0.5, 0.5]] * 2
    for kind in ("count", "softmax", "uniform"):
        assert group_weights(kind, COUNTS)[:, 2].tolist() == [0.0, 0.0]


def test_purity_prefers_the_specialist_among_equal_counts():
    counts = np.array([[20, 0], [20, 60]])
    assert group_weights("count", counts)[:, 0].tolist() == [0.5, 0.5]
    # purities 1 and ¼: 20 / (20 + 5)
    assert group_weights("purity", counts)[:, 0] == pytest.approx([0.8, 0.2])
    # count^½: equal counts stay equal, 60 alone stays alone
    assert group_weights("count", counts, gamma=0.5).tolist() == [[0.5, 0.0], [0.5, 1.0]]


def test_disjoint_labels_give_each_class_one_teacher():
    counts = np.array([[7, 0, 0], [0, 3, 900]])
    expected = [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    for kind in ("count", "purity", "softmax", "uniform"):
        assert group_weights(kind, counts).tolist() == expected


@given(tables, arguments)
def test_columns_sum_to_one_where_the_class_is_held(counts, argument):
    weights = group_weights(argument[0], counts, **argument[1])
    assert weights.shape == counts.shape and weights.dtype == np.float64 and (weights >= 0).all()
    held = counts.sum(axis=0) > 0
    everywhere = argument[0] == "uniform-all"
    np.testing.assert_allclose(weights.sum(axis=0), np.where(held | everywhere, 1.0, 0.0), atol=1e-12)
    if not everywhere:
        assert (weights[counts == 0] == 0).all()


@given(tables, arguments, st.randoms(use_true_random=False))
def test_permuting_groups_permutes_rows(counts, argument, random):
    order = list(range(counts.shape[0]))
    random.shuffle(order)
    weights = group_weights(argument[0], counts, **argument[1])
    assert group_weights(argument[0], counts[order], **argument[1]).tobytes() == weights[order].tobytes()


@given(tables, arguments, st.integers(0, 9))
def test_a_group_without_samples_changes_nothing(counts, argument, at):
    if not counts.any():
        return
    at = min(at, counts.shape[0])
    more = group_weights(argument[0], np.insert(counts, at, 0, axis=0), **argument[1])
    assert not more[at].any()
    without = np.delete(more, at, axis=0)
    assert without.tobytes() == group_weights(argument[0], counts, **argument[1]).tobytes()


def test_extreme_arguments_stay_finite():
    counts = np.array([[10**9, 1], [1, 10**9]])
    for kind, more in (("count", {"gamma": 60.0, "rho": 60.0}), ("softmax", {"temperature": 1e-3})):
        weights = group_weights(kind, counts, **more)
        assert np.isfinite(weights).all() and weights.sum(axis=0) == pytest.approx([1.0, 1.0])


def test_without_any_counts_only_uniform_all_speaks():
    none = np.zeros((4, 3), np.int64)
    assert group_weights("uniform-all", none).tolist() == [[0.25] * 3] * 4
    assert all(not group_weights(kind, none).any() for kind in KINDS if kind != "uniform-all")


@pytest.mark.parametrize(
    ("argument", "key"),
    [
        ({"kind": "counts"}, "expert.weights"),
        ({"kind": "softmax", "temperature": 0.0}, "expert.weights_temperature"),
        ({"kind": "purity", "power": -1.0}, "expert.weights_power"),
        ({"kind": "count", "gamma": float("inf")}, "expert.weights_gamma"),
        ({"kind": "count", "rho": True}, "expert.weights_rho"),
    ],
)
def test_refusals_name_the_key(argument, key):
    with pytest.raises(UserError) as caught:
        group_weights(counts=COUNTS, **argument)
    assert caught.value.key == key
