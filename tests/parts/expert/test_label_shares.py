"""Label shares and stratified draws, against numbers worked out by hand and general properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from disue.core.errors import UserError
from disue.core.streams import Streams
from disue.parts.expert.labels import KINDS, draw, label_shares, quota

COUNTS = np.array([[30, 10, 0], [10, 30, 0]])
# Groups of unequal size with unequal mixtures: a swapped axis or a forgotten normalisation shows.
UNEQUAL = np.array([[80, 20, 0, 0], [0, 5, 5, 0]])

tables = hnp.arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 12)), elements=st.integers(0, 2000))
kinds = st.sampled_from([("prior", {}), ("group", {"a": 0.3, "b": 0.6}), ("tempered", {"tau": 0.5})]) | (
    st.sampled_from([("uniform", {}), ("uniform-all", {}), ("group", {"a": 0.0, "b": 0.0})])
)


@pytest.mark.hand("disue-generator")
def test_prior_of_the_worked_check():
    assert label_shares("prior", COUNTS).tolist() == [0.5, 0.5, 0.0]


@pytest.mark.hand("disue-generator-no-gls", "disue-generator-neither")
def test_uniform_is_over_classes_that_are_held():
    assert label_shares("uniform", UNEQUAL).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0])
    assert label_shares("uniform-all", UNEQUAL).tolist() == [0.25] * 4


def test_tempered_by_hand():
    # N = (80, 25, 5, 0); square roots 8.944, 5, 2.236, 0; sum 16.180
    assert label_shares("tempered", UNEQUAL, tau=0.5) == pytest.approx([0.552786, 0.309017, 0.138197, 0.0], abs=1e-6)


def test_group_by_hand():
    # a = 0, b = 1: the plain mean of (0.8, 0.2, 0, 0) and (0, 0.5, 0.5, 0)
    assert label_shares("group", UNEQUAL, a=0, b=1) == pytest.approx([0.4, 0.35, 0.25, 0.0])
    # a = ½, b = 0: groups weigh 10 and √10, each uniform over the two classes that it holds
    r = np.array([10, np.sqrt(10)]) / (10 + np.sqrt(10))
    assert label_shares("group", UNEQUAL, a=0.5, b=0) == pytest.approx([r[0] / 2, 0.5, r[1] / 2, 0.0])


@given(tables)
def test_group_with_both_exponents_one_is_prior(counts):
    np.testing.assert_allclose(label_shares("group", counts, a=1, b=1), label_shares("prior", counts), atol=1e-12)


@given(tables, kinds)
def test_shares_are_a_distribution_over_held_classes(counts, kind):
    shares = label_shares(kind[0], counts, **kind[1])
    held = counts.sum(axis=0) > 0
    assert shares.shape == (counts.shape[1],) and shares.dtype == np.float64 and (shares >= 0).all()
    if held.any() or kind[0] == "uniform-all":
        assert shares.sum() == pytest.approx(1.0)
    else:
        assert not shares.any()
    if kind[0] != "uniform-all":
        assert ((shares > 0) == held).all()


@given(tables, kinds, st.randoms(use_true_random=False))
def test_order_of_groups_and_groups_without_samples_do_not_change_a_bit(counts, kind, random):
    order = [*range(counts.shape[0]), counts.shape[0]]
    random.shuffle(order)
    more = np.concatenate([counts, np.zeros((1, counts.shape[1]), np.int64)])[order]
    assert label_shares(kind[0], more, **kind[1]).tobytes() == (label_shares(kind[0], counts, **kind[1]).tobytes())


def test_quota_by_hand():
    # 7 labels at (½, ¼, ¼): 3.5, 1.75, 1.75 → 3, 1, 1 and the two largest remainders
    assert quota(np.array([0.5, 0.25, 0.25]), 7).tolist() == [3, 2, 2]
    # equal remainders: the smaller class first
    assert quota(np.array([0.25, 0.25, 0.25, 0.25]), 6).tolist() == [2, 2, 1, 1]
    assert quota(np.array([0.0, 1.0]), 0).tolist() == [0, 0]
    assert quota(label_shares("prior", COUNTS), 641).tolist() == [321, 320, 0]


@given(tables, kinds, st.integers(0, 700), st.integers(0, 9))
def test_draw_is_exact_within_one(counts, kind, amount, seed):
    shares = label_shares(kind[0], counts, **kind[1])
    if not shares.any():
        return
    labels = draw(shares, amount, Streams(seed)("labels"))
    found = np.bincount(labels, minlength=shares.size)
    assert labels.dtype == np.int64 and labels.size == amount
    assert (np.abs(found - shares * amount) < 1 + 1e-9).all()
    assert (found[shares == 0] == 0).all()
    assert labels.tobytes() == draw(shares, amount, Streams(seed)("labels")).tobytes()


def test_draw_shuffles():
    labels = draw(np.array([0.5, 0.5]), 200, Streams(0)("labels"))
    assert 60 < (np.diff(labels) != 0).sum() < 140


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"kind": "priors"}, "expert.labels"),
        ({"kind": "group", "a": 2.0}, "expert.a"),
        ({"kind": "group", "b": -0.1}, "expert.b"),
        ({"kind": "tempered", "tau": float("nan")}, "expert.tau"),
    ],
)
def test_refusals_name_the_key(arguments, key):
    with pytest.raises(UserError) as caught:
        label_shares(counts=COUNTS, **arguments)
    assert caught.value.key == key


def test_refuses_what_is_no_table_and_what_cannot_be_drawn():
    with pytest.raises(UserError):
        label_shares("prior", np.array([1, 2]))
    with pytest.raises(UserError):
        label_shares("prior", np.array([[1, -2]]))
    with pytest.raises(UserError):
        draw(np.zeros(3), 5, Streams(0)("labels"))
    with pytest.raises(UserError):
        draw(np.array([0.5, np.nan]), 5, Streams(0)("labels"))
    assert set(KINDS) == {"prior", "group", "tempered", "uniform", "uniform-all"}
