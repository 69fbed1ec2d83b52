"""Lies in class moments: bounds, what cannot be true, medians over rows, and the guard of the head."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from moments_world import AVERAGE, IDS, LAYOUT, SENT, WORLD, C, Door, F, clients, features, head_of, making, vector

from disue.core.checks import digest
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.lots import Lots
from disue.core.statics import Statics
from disue.core.uploads import Moments
from disue.core.world import Census
from disue.parts.expert import guard
from disue.parts.expert.borne import Bearing, bounded, median, pooled, row_of, shrunk
from disue.parts.expert.heads import Head
from disue.parts.expert.moments import MomentsDistil

OFF = {"transport": False, "decay": 0.5}
SIZES = np.array([60 + 20 * at for at in range(4)], np.int64)
KNOWN = SimpleNamespace(**vars(WORLD), census=Census(np.array(IDS), SIZES, C))


def rows(*each):
    """Moments with a row for each (counts, sums, second)."""
    counts, sums, second = zip(*each, strict=True)
    return Moments(np.arange(len(each)), np.array(counts, np.int64), np.array(sums, float), np.array(second, float))


def one(samples, labels, classes=2):
    """(counts, sums, second) of samples (n, f)."""
    x, y = np.array(samples, float), np.array(labels)
    sums = [x[y == c].sum(axis=0) if (y == c).any() else np.zeros(x.shape[1]) for c in range(classes)]
    return np.bincount(y, minlength=classes), np.array(sums), x.T @ x


def lying(**lies):
    """Clients' data with a door that changes what some say: id → function of (counts, sums, second)."""

    class Lies(Door):
        def moments(self, groups, under=None, against=None, *, per_class=False):
            told = super().moments(groups, under, against, per_class=per_class)
            counts, sums, second = told.counts.copy(), told.sums.copy(), told.second.copy()
            for client, lie in lies["of"].items():
                at = int(groups.rows(groups.at(np.array([client])))[0])
                others = [i for i in groups.members(int(groups.numbers[at])).tolist() if i != client]
                own = super().moments(Groups.one(np.array([client])), under)
                new = lie(own.counts[0], own.sums[0], own.second[0])
                rest = super().moments(Groups.one(np.array(others)), under) if others else None
                counts[at], sums[at], second[at] = (
                    new[k] + (0 if rest is None else (rest.counts[0], rest.sums[0], rest.second[0])[k])
                    for k in range(3)
                )
            return replace(told, counts=counts, sums=sums, second=second)

    return Lies


def made(part, lies=None, *, memory=None, round=0, data=None, average=AVERAGE):
    asks = making(data, round=round, average=average)
    if lies:
        asks = replace(asks, uploads=lying(of=lies)(asks.uploads.data, asks.uploads.received))
    return part.make(KNOWN, part.init(KNOWN, SENT) if memory is None else memory, asks)


def accuracy(expert, seed=50):
    """Of the expert's head on fresh samples of the clients' own distribution."""
    weight, bias = LAYOUT.head(expert)
    right, all_ = 0, 0
    for x, y in clients(seed=seed).values():
        logits = features(expert, x) @ weight.T.astype(float) + bias
        right, all_ = right + int((logits.argmax(axis=1) == y).sum()), all_ + y.size
    return right / all_


# -- rows by hand ------------------------------------------------------------------------------------------


def test_counts_shrink_to_what_was_declared():
    # 6 and 2 samples declared as 4: 3 and 1, the means as they were; scatter within 6/8 … 4/8 of it
    told = row_of(rows(([6, 2], [[6.0], [4.0]], [[30.0]])), 0)  # within: 30 − 36/6 − 16/2 = 16
    assert told.within[0, 0] == 16
    out = shrunk(told, 4.0)
    assert out.counts.tolist() == [3, 1] and out.means.tolist() == [[1], [2]] and out.within[0, 0] == 8
    assert shrunk(told, 8.0) is told


def test_a_class_that_shrinks_to_nothing_has_no_mean():
    out = shrunk(row_of(rows(([9, 1], [[9.0], [5.0]], [[40.0]])), 0), 5.0)
    assert out.counts.tolist() == [4, 0] and out.means.tolist() == [[1], [0]]


def test_features_are_cut_to_a_norm():
    # class 0: mean 6 → 2; class 1: mean 1 stays. tr Q ≤ 4 · 4 = 16, of which means take 2 · 4 + 2 · 1 = 10: within ≤ 6
    told = row_of(rows(([2, 2], [[12.0], [2.0]], [[72 + 2 + 30.0]])), 0)
    out = bounded(told, 2.0)
    assert out.means.tolist() == [[2], [1]] and out.within[0, 0] == 6 and out.square == 16
    assert digest(bounded(told, 1e9).means, bounded(told, 1e9).within) == digest(told.means, told.within)


def test_honest_features_within_the_norm_are_left_alone():
    x = np.random.default_rng(0).normal(size=(30, 3))
    told = row_of(rows(one(x, np.arange(30) % 2)), 0)
    out = bounded(told, float(np.linalg.norm(x, axis=1).max()))
    assert digest(out.means) == digest(told.means) and digest(out.within) == digest(told.within)


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (lambda n, s, q: (n, s, 0.5 * np.outer(s.sum(0), s.sum(0)) / n.sum()), "less scatter"),
        (lambda n, s, q: (n, 10 * s, q), "less scatter"),
        (lambda n, s, q: (n, s, q - 3 * np.trace(q) * np.diag([1, 0])), "less scatter"),
        (lambda n, s, q: (np.array([n.sum(), 0]), s, q), "without a sample"),
        (lambda n, s, q: (np.array([n.sum() + 1, -1]), s, q), "below zero"),
        (lambda n, s, q: (n, s, q * np.nan), "not finite"),
    ],
)
def test_what_no_features_can_have_is_left_out(lie, why):
    rng = np.random.default_rng(1)
    honest = [one(rng.normal(size=(12, 2)) + 2, np.arange(12) % 2) for _ in range(3)]
    told = rows(*honest, lie(*one(rng.normal(size=(12, 2)) + 2, np.arange(12) % 2)))
    heard = Bearing(consistent=True).heard(told, np.full(4, 12.0))
    assert list(heard.wrong) == [3] and why in heard.wrong[3]
    alone = Bearing(consistent=True).heard(rows(*honest), np.full(3, 12.0))
    assert digest(heard.moments.counts, heard.moments.sums) == digest(alone.moments.counts, alone.moments.sums)


@pytest.mark.parametrize("samples", [1, 2, 5, 40])
def test_true_moments_are_never_left_out(samples):
    """As many as there are: of one sample the scatter is zero but for rounding."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = np.maximum(rng.normal(size=(samples, 6)) * 10.0 ** rng.integers(-3, 4), 0).astype(np.float32)
        told = rows(one(x, rng.integers(0, 3, samples), 3))
        assert not Bearing(consistent=True).heard(told, np.array([samples])).wrong


def test_medians_of_means_by_hand():
    # class means of class 0: 1, 2, 99 → 2; class 1 is held by the last two: (4 + 8) / 2. Covariances 2, 4, 100 → 4
    told = [
        row_of(rows(([3, 0], [[3.0], [0.0]], [[3 + 4.0]])), 0),  # within 4, freedom 2
        row_of(rows(([2, 2], [[4.0], [8.0]], [[8 + 32 + 8.0]])), 0),  # within 8, freedom 2
        row_of(rows(([1, 3], [[99.0], [24.0]], [[9801 + 192 + 200.0]])), 0),  # within 200, freedom 2
    ]
    out = median(told)
    assert out.counts.tolist() == [6, 5] and out.means.tolist() == [[2], [6]]
    assert np.isclose(out.within[0, 0], 4 * (11 - 2))


def test_medians_of_one_row_are_the_row_and_pooled_rows_are_the_sum():
    rng = np.random.default_rng(3)
    samples = [(rng.normal(size=(n, 3)), rng.integers(0, 2, n)) for n in (8, 15, 9)]
    told = rows(*(one(x, y) for x, y in samples))
    (x, y) = (np.concatenate(part) for part in zip(*samples, strict=True))
    whole = row_of(rows(one(x, y)), 0)
    together = pooled([row_of(told, at) for at in range(3)])
    assert np.allclose(together.means, whole.means) and np.allclose(together.within, whole.within)
    alone = median([whole])
    assert np.allclose(alone.means, whole.means) and np.allclose(alone.within, whole.within)


def test_medians_bear_less_than_half_of_the_rows():
    rng = np.random.default_rng(4)
    honest = [row_of(rows(one(rng.normal(size=(20, 2)) + 5, np.arange(20) % 2)), 0) for _ in range(3)]
    lie = row_of(rows(([10, 10], [[1e6, 0], [0, 1e6]], [[1e12, 0], [0, 1e12]])), 0)
    for many, broken in ((1, False), (2, False), (4, True)):
        out = median([*honest, *[lie] * many])
        assert bool(np.abs(out.means - 5).max() > 3) == broken
        assert bool(np.trace(out.within) / (out.counts.sum() - 2) > 10) == broken


# -- in the expert -----------------------------------------------------------------------------------------


def swapped(n, s, q):
    """As if classes 0 and 1 were each other, and 50 times as many samples."""
    at = np.array([1, 0, *range(2, C)])
    return 50 * n[at], 50 * s[at], 50 * q


def far(n, s, q):
    s = s + 1e4 * n[:, None] * np.eye(C, F)
    return n, s, sum((np.outer(v, v) / c for v, c in zip(s, n, strict=True) if c), np.zeros((F, F))) + np.eye(F)


def test_defences_that_have_nothing_to_do_change_nothing():
    plain = made(MomentsDistil(**OFF)).expert
    for keys in ({"bound_counts": True}, {"bound_norm": 1e6}, {"consistent": True}):
        assert np.allclose(head_of(made(MomentsDistil(**OFF, **keys)).expert), head_of(plain), atol=1e-4)
    guarded = made(MomentsDistil(**OFF, guard=0.05))
    assert np.allclose(head_of(guarded.expert), head_of(plain), atol=1e-4)


HONEST = 0.70  # the toy's five classes overlap: a head of all clients names 0.74 of fresh samples
FOOLED = 0.56


def test_bounded_counts_leave_a_liar_its_own_share():
    lies = {IDS[0]: swapped}
    assert accuracy(made(MomentsDistil(**OFF)).expert) > HONEST
    assert accuracy(made(MomentsDistil(**OFF), lies).expert) < FOOLED
    out = made(MomentsDistil(**OFF, bound_counts=True), lies)
    assert accuracy(out.expert) > HONEST and out.memory.counts.sum() <= SIZES.sum()


def test_a_bounded_liar_moves_a_mean_by_at_most_its_share_of_twice_the_norm():
    norm = 24.0  # no honest sample is longer
    plain = made(MomentsDistil(**OFF))
    fooled = made(MomentsDistil(**OFF), {IDS[0]: far})
    out = made(MomentsDistil(**OFF, bound_norm=norm), {IDS[0]: far})
    _, y = clients()[IDS[0]]
    share = np.bincount(y, minlength=C) / plain.memory.counts
    moved = np.linalg.norm(out.memory.means - plain.memory.means, axis=1)
    assert (moved <= 2 * norm * share + 1e-9).all()
    assert (np.linalg.norm(fooled.memory.means - plain.memory.means, axis=1)[:F] > 1000).all()
    assert out.memory.scatter.trace() <= SIZES.sum() * norm**2


def test_medians_bear_a_liar_far_away_and_break_where_most_rows_lie():
    part = MomentsDistil(**OFF, robust="median-of-means")
    assert accuracy(made(part).expert) > HONEST
    for lie in (swapped, far):
        assert accuracy(made(MomentsDistil(**OFF), {IDS[0]: lie}).expert) < FOOLED
        assert accuracy(made(part, {IDS[0]: lie}).expert) > HONEST
        assert accuracy(made(part, dict.fromkeys(IDS[:3], lie)).expert) < FOOLED


def test_who_is_left_out_is_named():
    out = made(MomentsDistil(**OFF, consistent=True), {IDS[2]: lambda n, s, q: (n, s, 0 * q)})
    assert out.info.notes == (
        f"round 0: moments are left out of client {IDS[2]} (less scatter than its means alone have)",
    )
    assert out.info.values["moments.left_out"] == 1 and out.info.values["moments.refreshed"] == 1
    assert out.memory.counts.sum() == SIZES.sum() - SIZES[2]


def test_where_nobody_can_be_believed_the_store_stays():
    part = MomentsDistil(**OFF, consistent=True)
    one_ = made(part)
    two = made(part, dict.fromkeys(IDS, lambda n, s, q: (n, s, 0 * q)), memory=one_.memory, round=1)
    assert two.memory.counts.tolist() == one_.memory.counts.tolist() and two.info.values["moments.refreshed"] == 0


def test_rows_are_lots_where_moments_are_summed_over_lots():
    lots = Lots(np.array(sorted(IDS)), np.array([0, 1, 0, 1]))
    statics = Statics.of(lots, np.full((2, C), 9), np.full((2, C), 2), 1)
    rows_ = statics.finest(np.array(sorted(IDS)))
    assert rows_.members(0).tolist() == [17, 4001] and rows_.members(1).tolist() == [902, 4002]
    assert statics.finest(np.array([17, 902, 4001])).numbers.tolist() == [0]  # the other came in part
    told = rows(one(np.eye(3), [0, 1, 1], C), one(2 * np.eye(3), [0, 1, 1], C))
    mixed = statics.mixed(rows_, np.array([0, 1]), told)
    assert digest(mixed.counts, mixed.sums, mixed.second) == digest(told.counts, told.sums, told.second)


def test_rows_in_another_order_give_the_same_head():
    """Names of clients decide nothing: the same data under other ids."""
    data = clients()
    turned = dict(zip(IDS, reversed(list(data.values())), strict=True))
    world = SimpleNamespace(**vars(WORLD), census=Census(np.array(IDS), SIZES[::-1].copy(), C))
    part = MomentsDistil(**OFF, robust="median-of-means", bound_counts=True, consistent=True, bound_norm=30.0)
    a = part.make(KNOWN, part.init(KNOWN, SENT), making(data)).expert
    b = part.make(world, part.init(world, SENT), making(turned)).expert
    assert np.allclose(head_of(a), head_of(b), atol=1e-4)


# -- the guard ---------------------------------------------------------------------------------------------


def test_worth_by_hand():
    """One feature, two classes at 0 and 4, no scatter: a head that splits at 2 names all, one turned round nothing."""
    told = row_of(rows(([1, 3], [[0.0], [12.0]], [[48.0]])), 0)
    split, turned = (
        Head(np.array([[0.0], [1.0]]), np.array([2.0, 0])),
        Head(np.array([[1.0], [0.0]]), np.array([0, 2.0])),
    )
    always = Head(np.zeros((2, 1)), np.array([0, 1.0]))
    rng = np.random.default_rng(0)
    assert guard.worths([split, turned, always], [told], rng, positive=False) == [1, 0, 0.75]
    assert guard.worths(
        [always], [told, told, row_of(rows(([1, 0], [[0.0], [0.0]], [[0.0]])), 0)], rng, positive=True
    ) == [0.75]


@pytest.mark.parametrize("transport", [False, True])
@pytest.mark.parametrize("lie", [swapped, far])
def test_the_guard_leaves_lies_of_a_minority_out(transport, lie):
    keys = {"transport": transport, "decay": 0.5}
    part, open_ = MomentsDistil(**keys, guard=0.05), MomentsDistil(**keys)
    memory = made(part).memory
    fooled = made(open_, {IDS[0]: lie}, memory=memory, round=1)
    kept = made(part, {IDS[0]: lie}, memory=memory, round=1)
    assert accuracy(fooled.expert) < FOOLED and accuracy(kept.expert) > HONEST
    assert kept.info.values["moments.guarded"] == 1 and kept.info.values["moments.refreshed"] == 0
    assert "this round's moments are left out: half of the rows" in kept.info.notes[-1]
    assert kept.memory.counts.tolist() == memory.counts.tolist() and kept.memory.under is memory.under


@pytest.mark.parametrize("transport", [False, True])
def test_the_guard_lets_honest_rounds_in_though_the_body_moves(transport):
    keys = {"transport": transport, "decay": 0.5}
    part, open_ = MomentsDistil(**keys, guard=0.0), MomentsDistil(**keys)
    memory = made(part).memory
    moved = making(clients(seed=7), round=1, sent=vector(8, body=AVERAGE), average=vector(9))
    out = part.make(KNOWN, memory, moved)
    plain = open_.make(KNOWN, memory, moved)
    assert out.info.values["moments.guarded"] == 0 and out.info.values["moments.refreshed"] == 1
    assert np.allclose(head_of(out.expert), head_of(plain.expert), atol=1e-4)


def test_a_poisoned_map_is_left_out_too():
    """The lie is in the cross moments alone: the map throws away what is kept, and classes that nobody holds now."""
    part, open_ = (MomentsDistil(decay=0.99, guard=0.02), MomentsDistil(decay=0.99))
    memory = made(open_, data=clients(amount=2000)).memory

    class Mapped(Door):
        def moments(self, groups, under=None, against=None, *, per_class=False):
            told = super().moments(groups, under, against, per_class=per_class)
            return told if told.cross_xy is None else replace(told, cross_xy=-told.cross_xy)

    asks = making(round=1, sent=AVERAGE)
    asks = replace(asks, uploads=Mapped(asks.uploads.data, asks.uploads.received))
    fooled, kept = open_.make(KNOWN, memory, asks), part.make(KNOWN, memory, asks)
    assert accuracy(fooled.expert) < FOOLED and accuracy(kept.expert) > HONEST
    assert kept.info.values["moments.guarded"] == 1


def test_the_guard_is_blind_where_most_rows_lie_and_open_where_it_is_wide():
    part = MomentsDistil(**OFF, guard=0.0)
    memory = made(part).memory
    most = dict.fromkeys(IDS[:3], swapped)
    assert made(part, most, memory=memory, round=1).info.values["moments.guarded"] == 0
    wide = made(MomentsDistil(**OFF, guard=0.99), {IDS[0]: swapped}, memory=memory, round=1)
    assert wide.info.values["moments.guarded"] == 0 and accuracy(wide.expert) < FOOLED


def test_in_the_first_round_the_averaged_head_is_the_one_before():
    taught, part = made(MomentsDistil(**OFF)).expert, MomentsDistil(**OFF, guard=0.05)
    out = made(part, {IDS[0]: swapped}, average=taught)
    assert out.info.values["moments.guarded"] == 1 and digest(out.expert) == digest(taught)
    assert not out.memory.seen.any()
    assert made(part, {IDS[0]: swapped}).info.values["moments.guarded"] == 0  # a head drawn at random is no better


def test_where_stale_is_skip_a_guarded_round_has_the_average():
    taught, part = made(MomentsDistil(**OFF)).expert, MomentsDistil(**OFF, guard=0.05, stale="skip")
    out = made(part, {IDS[0]: swapped}, memory=made(part).memory, round=1, average=taught)
    assert out.info.values["moments.guarded"] == 1 and digest(out.expert) == digest(taught) and out.memory.scale == 1


# -- settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"consistent": True}, "expert.consistent needs transport = false, or a guard"),
        ({"guard": 0.1, "weights": "uniform"}, 'expert.guard needs weights = "count"'),
        ({**OFF, "bound_norm": 1.0, "weights": "purity"}, 'expert.bound_norm needs weights = "count"'),
        ({**OFF, "robust": "median-of-means", "head": "sgd", "per_class": True}, "needs per_class = false"),
        ({"robust": "median"}, "expert.robust"),
        ({"guard": 1.5}, "expert.guard"),
        ({"bound_norm": -1.0}, "expert.bound_norm"),
        ({"bound_counts": 3}, "expert.bound_counts"),
    ],
)
def test_refusals(keys, sentence):
    with pytest.raises(UserError, match=sentence):
        MomentsDistil(**keys)


def test_average_is_the_body_whatever_is_left_out():
    out = made(MomentsDistil(**OFF, consistent=True), dict.fromkeys(IDS, lambda n, s, q: (n, s, 0 * q)))
    assert digest(out.expert) == digest(AVERAGE)
