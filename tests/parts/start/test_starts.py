"""Starts: which vector each client receives, and how often it is sent."""

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import View
from disue.core.orders import origin_of
from disue.parts.start import KINDS, EveryGroup, FromExpert, FromGroup, FromSelf
from fakes import vec, world

A, B, C, NEW = 4001, 17, 902, 5
IDS = np.array([C, NEW, A, B])
WORLD = world((A, B, C, NEW), 6)
MODELS = np.stack([np.full(6, 1), np.full(6, 5)]).astype(np.float32)
AVERAGE, EXPERT = np.full(6, 3, np.float32), np.full(6, 9, np.float32)


def view(mapping=None, models=MODELS, expert=EXPERT, average=AVERAGE):
    groups = Groups.make({A: 0, B: 0, C: 4} if mapping is None else mapping)
    return View(2, groups, models[: groups.numbers.size], average, expert)


def received(part, at, ids=IDS):
    chosen = part.choose(WORLD, at, ids)
    return chosen.starts[chosen.which[:, 0], 0].tolist()


def test_from_group_and_the_average_for_strangers():
    assert received(FromGroup(), view()) == [5, 3, 1, 1]
    chosen = FromGroup().choose(WORLD, view(), IDS)
    assert chosen.starts.shape == (3, 6) and not chosen.own and chosen.into is None


def test_only_the_vectors_that_are_sent_and_each_once():
    assert FromGroup().choose(WORLD, view(), np.array([A, B])).starts.shape == (1, 6)
    same = view(models=np.ones((2, 6), np.float32))
    chosen = FromGroup().choose(WORLD, same, np.array([A, C]))
    assert chosen.starts.shape == (1, 6) and origin_of(chosen.starts) is not None
    assert FromGroup().choose(WORLD, view(), IDS[:0]).which.shape == (0, 1)


def test_vectors_that_differ_in_one_entry_only_are_kept_apart():
    models = np.zeros((2, 1000), np.float32)
    models[1, 777] = 1
    at = View(0, Groups.make({A: 0, C: 1}), models, models[0], None)
    assert FromGroup().choose(WORLD, at, np.array([A, C])).starts.shape == (2, 1000)


@pytest.mark.parametrize(("share", "want"), [(1.0, [9, 9, 9, 9]), (0.5, [7, 6, 5, 5]), (0.25, [6, 4.5, 3, 3])])
def test_from_expert_blends(share, want):
    assert received(FromExpert(share), view()) == want


def test_share_one_is_the_expert_and_share_zero_the_group_bit_for_bit():
    rng = np.random.default_rng(0)
    models = rng.normal(size=(2, 6)).astype(np.float32)
    expert = rng.normal(size=6).astype(np.float32)
    at = view(models=models, expert=expert)
    one = FromExpert(1.0).choose(WORLD, at, IDS)
    assert np.array_equal(one.starts, expert[None]) and not one.which.any()
    zero, plain = FromExpert(0.0).choose(WORLD, at, IDS), FromGroup().choose(WORLD, at, IDS)
    assert np.array_equal(zero.starts, plain.starts) and np.array_equal(zero.which, plain.which)


def test_without_an_expert_the_average_takes_its_place():
    assert received(FromExpert(1.0), view(expert=None)) == [3] * 4
    assert received(FromExpert(0.5), view(expert=None)) == [4, 3, 2, 2]


def test_common():
    one, many, none = view({A: 3, B: 3}), view(), View(0, Groups.empty(0), MODELS[:0], AVERAGE, None)
    for part in (FromGroup(), FromExpert(0.0), FromExpert(0.5), EveryGroup()):
        assert [part.common(at) for at in (one, many, none)] == [True, False, True]
    assert FromExpert(1.0).common(many) and EveryGroup(share=1.0).common(many)
    assert not FromSelf().common(one)


def test_from_self_falls_back_to_the_group():
    chosen = FromSelf().choose(WORLD, view(), IDS)
    assert chosen.own and received(FromSelf(), view()) == [5, 3, 1, 1]


def test_every_group_has_a_column_per_group_in_their_order():
    chosen = EveryGroup().choose(WORLD, view({A: 2, C: 7}), IDS)
    assert chosen.which.shape == (4, 2) and chosen.into is None
    assert chosen.starts[chosen.which[1], 0].tolist() == [1, 5]
    assert EveryGroup().choice == "loss" and EveryGroup().fresh


def test_every_group_chooses_among_the_models_and_trains_from_the_blend():
    chosen = EveryGroup(share=0.5).choose(WORLD, view({A: 2, C: 7}), IDS)
    assert chosen.starts[chosen.which[0], 0].tolist() == [1, 5]
    assert chosen.starts[chosen.into[0], 0].tolist() == [5, 7]
    whole = EveryGroup(share=1.0).choose(WORLD, view({A: 2, C: 7}), IDS)
    assert whole.starts.shape == (3, 6) and whole.starts[whole.into[0], 0].tolist() == [9, 9]


def test_equal_models_share_a_row_and_keep_their_columns():
    same = view({A: 2, C: 7}, models=np.ones((2, 6), np.float32))
    chosen = EveryGroup().choose(WORLD, same, IDS)
    assert chosen.starts.shape == (1, 6) and chosen.which.shape == (4, 2)


def test_ranges():
    for part in (FromExpert, EveryGroup):
        with pytest.raises(UserError, match=r"start.share must lie in \[0, 1\], got 1.5"):
            part(share=1.5)
    with pytest.raises(UserError, match=r"start\.choice"):
        EveryGroup(choice="none")
    assert set(KINDS) == {"group", "expert", "self", "every"}


def test_inputs_are_not_handed_out_writable_by_blending():
    expert = vec(1, 2, 3, 4, 5, 6)
    before = expert.copy()
    FromExpert(0.5).choose(WORLD, view(expert=expert), IDS).starts[...] = 0
    assert np.array_equal(expert, before)
