"""The moments family as an expert: what it asks, what it remembers, what it hands out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from disue.core import tree
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import Entry, Layout
from disue.core.method import Making, View
from disue.core.orders import Sight
from disue.core.streams import Streams
from disue.core.uploads import Moments
from disue.parts.expert import FAMILIES, KINDS, AverageExpert, Distil, NoExpert, family
from disue.parts.expert.moments import MomentsDistil

F, C = 3, 5
IDS = (17, 902, 4001, 4002)  # ids that are no positions
LAYOUT = Layout(
    (Entry("slope", (F, F)), Entry("shift", (F,)), Entry("head.weight", (C, F)), Entry("head.bias", (C,))),
    "head.weight",
    "head.bias",
    positive=False,
)
WORLD = SimpleNamespace(layout=LAYOUT, streams=Streams(0))


def features(vector, x):
    """A body that is an affine map, so that every drift of it is affine."""
    slope, shift = LAYOUT.tensor(vector, "slope"), LAYOUT.tensor(vector, "shift")
    return x @ slope.astype(float) + shift.astype(float)


@dataclass
class Door:
    """Moments by definition from four clients' rows; remembers what it was asked."""

    data: dict
    received: np.ndarray
    stale: bool = False
    broken: bool = False
    asked: list = field(default_factory=list)

    @property
    def ids(self):
        return np.array(sorted(self.data), np.int64)

    def moments(self, groups, under=None, against=None, *, per_class=False):
        self.asked.append(SimpleNamespace(groups=groups, under=under, against=against, per_class=per_class))
        new = self.received if under is None else under
        g = groups.numbers.size
        counts, sums = np.zeros((g, C), np.int64), np.zeros((g, C, F))
        second = np.zeros((g, C, F, F))
        xx, xy = np.zeros((F + 1, F + 1)), np.zeros((F + 1, F))
        for row, number in enumerate(groups.numbers):
            for client in groups.members(number).tolist():
                x, y = self.data[client]
                phi = features(new, x)
                for c in range(C):
                    counts[row, c] += (y == c).sum()
                    sums[row, c] += phi[y == c].sum(axis=0)
                    second[row, c] += phi[y == c].T @ phi[y == c]
                if against is not None:
                    old = np.concatenate([features(against, x), np.ones((y.size, 1))], axis=1)
                    xx, xy = xx + old.T @ old, xy + old.T @ phi
        if self.broken:
            sums[0, 0] = np.nan
        second = second if per_class else second.sum(axis=1)
        crossed = (xx, xy) if against is not None else (None, None)
        return Moments(groups.numbers, counts, sums, second, *crossed, self.stale)


def clients(classes=range(C), seed=0, amount=60):
    """Four clients of unequal size; `classes` are those that occur at all."""
    rng = np.random.default_rng(seed)
    centres = 3 + 2 * np.random.default_rng(99).normal(size=(C, F))
    out = {}
    for at, client in enumerate(IDS):
        y = rng.choice(list(classes), size=amount + 20 * at)
        out[client] = (centres[y] + rng.normal(size=(y.size, F)), y)
    return out


def vector(seed=0, body=None):
    rng = np.random.default_rng(seed)
    out = rng.normal(size=LAYOUT.d).astype(np.float32)
    if body is not None:
        out[: F * F + F] = body[: F * F + F]
    out.flags.writeable = False
    return out


SENT, AVERAGE = vector(1), vector(2)


def making(data=None, *, round=0, sent=SENT, average=AVERAGE, of=(0, 0, 1, 1), **door):
    data = clients() if data is None else data
    uploads = Door(data, sent if sent is not None else average, **door)
    groups = Groups.make(dict(zip(IDS, of, strict=True)), numbers=[5])  # group 5 is empty
    models = np.stack([average] * groups.numbers.size)
    before = View(round, groups, models, average, sent)
    return Making(round, sent, before, groups.among(uploads.ids), models, average, uploads)


def first(part, made_from=None):
    return part.make(WORLD, part.init(WORLD, SENT), made_from or making())


def head_of(expert):
    weight, bias = LAYOUT.head(expert)
    return np.concatenate([weight, bias[:, None]], axis=1).astype(float)


# -- who is who ----------------------------------------------------------------------------------------


def test_none_and_average():
    made = NoExpert().make(WORLD, NoExpert().init(WORLD, SENT), making())
    assert made.expert is None and not NoExpert().serves and NoExpert().scale(None) == 1.0
    made = AverageExpert().make(WORLD, AverageExpert().init(WORLD, SENT), making())
    assert made.expert.tobytes() == AVERAGE.tobytes() and AverageExpert().serves
    assert not NoExpert().sight and not AverageExpert().sight


def test_families_by_name():
    assert isinstance(Distil(), MomentsDistil) and Distil(gamma=0.2).gamma == 0.2
    assert family("moments") is MomentsDistil and MomentsDistil.family == "moments"
    assert set(FAMILIES) == {"moments", "generator"} and set(KINDS) == {"none", "average", "distil"}
    with pytest.raises(UserError) as caught:
        Distil("momnets")
    assert caught.value.key == "expert.family" and "moments" in str(caught.value)


def test_disabled_is_the_average_and_asks_nothing():
    part = MomentsDistil(enabled=False)
    asks = making()
    made = first(part, asks)
    assert made.expert.tobytes() == AVERAGE.tobytes() and not asks.uploads.asked
    assert part.sight == frozenset() and part.serves and part.scale(made.memory) == 1.0
    assert MomentsDistil().sight == {Sight.MOMENTS}


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"head": "lad"}, "expert.head"),
        ({"vector": "next"}, "expert.vector"),
        ({"gamma": 2}, "expert.gamma"),
        ({"decay": -0.1}, "expert.decay"),
        ({"blend": 1.5}, "expert.blend"),
        ({"factor": 0.0}, "expert.factor"),
        ({"factor": "auto"}, "expert.factor"),
        ({"prior": float("nan")}, "expert.prior"),
        ({"weights": "counts"}, "expert.weights"),
        ({"weights_temperature": 0.0}, "expert.weights_temperature"),
        ({"labels": "group"}, "expert.labels"),
        ({"min_class": 0}, "expert.min_class"),
        ({"every": 0.5}, "expert.every"),
        ({"transport": 1}, "expert.transport"),
        ({"vector": "received"}, "expert.transport"),
        ({"per_class": True}, "expert.per_class"),
        ({"draws": 0}, "expert.draws"),
        ({"lr": "fast"}, "expert.lr"),
    ],
)
def test_ranges(arguments, key):
    with pytest.raises(UserError) as caught:
        MomentsDistil(**arguments)
    assert caught.value.key == key and str(caught.value).startswith(key)


def test_range_message_is_one_sentence():
    with pytest.raises(UserError, match=r"^expert\.gamma must be in \[0, 1\], got 2$"):
        MomentsDistil(gamma=2)


# -- the head ------------------------------------------------------------------------------------------


def test_default_is_the_scaled_centred_discriminant_on_the_averages_body():
    """γ = 0.1, s = 0.5, uniform prior, from all rows under the fresh average, in plain numpy."""
    made = first(MomentsDistil())
    data = clients().values()
    phi = features(AVERAGE, np.concatenate([x for x, _ in data]))
    y = np.concatenate([y for _, y in data])
    means = np.array([phi[y == c].mean(axis=0) for c in range(C)])
    within = (phi - means[y]).T @ (phi - means[y]) / (y.size - C)
    sigma = 0.9 * within + 0.1 * np.trace(within) / F * np.eye(F) + 1e-6 * np.eye(F)
    weight = np.linalg.solve(sigma, means.T).T
    bias = -0.5 * (means * weight).sum(axis=1)
    expected = 0.5 * np.concatenate([weight, bias[:, None]], axis=1)
    expected -= expected.mean(axis=0)
    np.testing.assert_allclose(head_of(made.expert), expected, rtol=1e-5, atol=1e-5)
    assert made.expert[: F * F + F].tobytes() == AVERAGE[: F * F + F].tobytes()
    assert made.expert.dtype == np.float32 and made.info.values["moments.scale"] == 0.5
    assert MomentsDistil().scale(made.memory) == 0.5
    assert made.info.values["moments.gamma"] == pytest.approx(0.1)
    assert made.info.values["moments.classes"] == C and made.info.notes == ()
    logits = features(made.expert, np.concatenate([x for x, _ in data])) @ head_of(made.expert)[:, :F].T
    assert ((logits + head_of(made.expert)[:, F]).argmax(axis=1) == y).mean() > 0.2 + 5 * 0.4 / np.sqrt(y.size)


def test_count_share_does_not_depend_on_the_grouping():
    experts = {
        first(MomentsDistil(), making(of=of)).expert.tobytes()
        for of in ((0, 0, 0, 0), (0, 0, 1, 1), (3, 2, 1, 0), (5, 0, 5, 0))
    }
    assert len(experts) == 1
    purity = [first(MomentsDistil(weights="purity"), making(of=of)) for of in ((0, 0, 0, 0), (0, 1, 2, 2))]
    assert purity[0].expert.tobytes() in experts  # one group: nothing to weigh
    assert purity[1].expert.tobytes() not in experts


def test_groups_are_asked_for_only_where_they_matter():
    for weights, groups in (("count", [0]), ("purity", [0, 1, 5]), ("uniform", [0, 1, 5])):
        asks = making()
        first(MomentsDistil(weights=weights), asks)
        (asked,) = asks.uploads.asked
        assert asked.groups.numbers.tolist() == groups and asked.groups.ids.tolist() == sorted(IDS)
        assert asked.under is AVERAGE and asked.against is None and not asked.per_class
    assert MomentsDistil().pooled and not MomentsDistil(weights_rho=0.5).pooled


def test_received_moments_are_those_of_what_was_sent():
    asks = making()
    made = first(MomentsDistil(vector="received", transport=False), asks)
    assert asks.uploads.asked[0].under is None
    same = first(MomentsDistil(transport=False), making(average=vector(2, body=SENT)))
    np.testing.assert_allclose(head_of(made.expert), head_of(same.expert), atol=1e-6)
    assert made.expert[: F * F].tobytes() == AVERAGE[: F * F].tobytes()


def test_a_class_never_seen_keeps_its_column():
    made = first(MomentsDistil(), making(clients(classes=[0, 1, 3])))
    before, after = head_of(AVERAGE), head_of(made.expert)
    for c in (2, 4):
        assert (after[c] == before[c]).all()
    # and its logits keep their place relative to the mean of the others
    np.testing.assert_allclose(after[[0, 1, 3]].mean(axis=0), before[[0, 1, 3]].mean(axis=0), atol=1e-5)
    assert made.info.values["moments.classes"] == 3
    everything = first(MomentsDistil())
    np.testing.assert_allclose(head_of(everything.expert).mean(axis=0), 0.0, atol=1e-5)


@pytest.mark.parametrize("head", ["lda", "ncm", "ridge", "sgd"])
def test_every_head_separates_and_repeats(head):
    part = MomentsDistil(head=head)
    made, again = first(part), first(part)
    assert made.expert.tobytes() == again.expert.tobytes()
    data = clients(seed=7).values()
    x, y = np.concatenate([x for x, _ in data]), np.concatenate([y for _, y in data])
    logits = features(made.expert, x) @ head_of(made.expert)[:, :F].T + head_of(made.expert)[:, F]
    assert (logits.argmax(axis=1) == y).mean() > 0.2 + 5 * 0.4 / np.sqrt(y.size)  # chance, five errors
    assert made.info.values["moments.gamma"] == (1.0 if head == "ncm" else pytest.approx(0.1))
    assert part.scale(made.memory) == (1.0 if head == "sgd" else 0.5)


def test_prior_moves_the_bias_by_the_log_shares():
    skewed = {i: (x, np.minimum(y, 1)) for i, (x, y) in clients(classes=[0, 1, 1, 1]).items()}
    plain = head_of(first(MomentsDistil(factor=1.0), making(skewed)).expert)
    prior = head_of(first(MomentsDistil(factor=1.0, prior=1.0), making(skewed)).expert)
    total = np.bincount(np.concatenate([y for _, y in skewed.values()]), minlength=C)[:2]
    np.testing.assert_allclose(prior[:, :F], plain[:, :F], atol=1e-5)
    difference = (prior - plain)[:2, F]
    assert difference[1] - difference[0] == pytest.approx(np.log(total[1] / total[0]), abs=1e-4)
    half = first(MomentsDistil(factor=1.0, prior=1.0, labels="tempered", tau=0.5), making(skewed))
    again = first(MomentsDistil(factor=1.0, prior=0.5), making(skewed))
    np.testing.assert_allclose(head_of(half.expert), head_of(again.expert), atol=1e-5)


def test_factor_and_match():
    one, two = (first(MomentsDistil(factor=s)) for s in (1.0, 0.2))
    np.testing.assert_allclose(0.2 * head_of(one.expert), head_of(two.expert), atol=1e-5)
    made = first(MomentsDistil(factor="match"))
    before = head_of(AVERAGE)
    wanted = np.linalg.norm(before - before.mean(axis=0))
    assert np.linalg.norm(head_of(made.expert)) == pytest.approx(wanted, rel=1e-5)
    assert MomentsDistil().scale(made.memory) == made.info.values["moments.scale"] > 0
    np.testing.assert_allclose(made.memory.scale * head_of(one.expert), head_of(made.expert), atol=1e-4)


def test_blend():
    full, half = first(MomentsDistil()), first(MomentsDistil(blend=0.5))
    np.testing.assert_allclose(
        head_of(half.expert), (head_of(full.expert) + head_of(AVERAGE)) / 2, rtol=1e-4, atol=1e-5
    )
    assert first(MomentsDistil(blend=0.0)).expert.tobytes() == AVERAGE.tobytes()


# -- over the rounds -----------------------------------------------------------------------------------


def test_absent_classes_are_carried_along_with_the_body():
    """Round 1 lacks classes 3 and 4 and has another body: their means are where that body would put them."""
    part = MomentsDistil(transport_ridge=0.0)
    one = first(part)
    sent, average = vector(8, body=AVERAGE), vector(9)
    asks = making(clients(classes=[0, 1, 2], seed=3), round=1, sent=sent, average=average)
    two = part.make(WORLD, one.memory, asks)
    assert asks.uploads.asked[0].against is sent
    data = clients().values()
    x, y = np.concatenate([x for x, _ in data]), np.concatenate([y for _, y in data])
    there = features(average, x)
    for c in (3, 4):
        np.testing.assert_allclose(two.memory.means[c], there[y == c].mean(axis=0), atol=1e-4)
    assert two.memory.counts[3] == one.memory.counts[3] and two.memory.counts[0] > one.memory.counts[0]
    assert two.info.values["moments.drift"] > 0 and two.info.values["moments.transport_skipped"] == 0
    stays = dataclasses.replace(part, transport=False).make(WORLD, one.memory, asks)
    assert stays.memory.means[3].tolist() == one.memory.means[3].tolist()
    assert asks.uploads.asked[1].against is None and stays.info.values["moments.transport_skipped"] == 0


@pytest.mark.parametrize("missed", ["starts differ", "a round without measurement", "a stale round"])
def test_transport_starts_from_the_body_that_the_store_was_measured_under(missed):
    """What was sent has another body: the map is measured against the store's own vector instead."""
    part = MomentsDistil(transport_ridge=0.0, every=2 if missed == "a round without measurement" else 1)
    one = first(part)
    assert one.info.values["moments.transport_skipped"] == 0  # nothing to carry yet
    assert one.memory.under.tobytes() == AVERAGE.tobytes() and not one.memory.under.flags.writeable
    memory, sent = one.memory, None
    if missed != "starts differ":
        sent = vector(31)
        between = making(round=1, sent=vector(8, body=AVERAGE), average=sent, stale=True)
        memory = part.make(WORLD, memory, between).memory
        assert memory.under.tobytes() == AVERAGE.tobytes()
    average = vector(9)
    asks = making(clients(classes=[0, 1]), round=2, sent=sent, average=average)
    two = part.make(WORLD, memory, asks)
    assert asks.uploads.asked[0].against.tobytes() == AVERAGE.tobytes()
    assert two.info.values["moments.refreshed"] == 1 and two.info.values["moments.transport_skipped"] == 0
    data = clients().values()
    x, y = np.concatenate([x for x, _ in data]), np.concatenate([y for _, y in data])
    np.testing.assert_allclose(two.memory.means[3], features(average, x)[y == 3].mean(axis=0), atol=1e-4)


def test_a_door_without_cross_moments_skips_transport_and_counts_it(monkeypatch):
    part = MomentsDistil()
    one = first(part)
    whole = Door.moments
    monkeypatch.setattr(Door, "moments", lambda *a, against=None, **k: whole(*a, **k))
    two = part.make(WORLD, one.memory, making(clients(classes=[0, 1]), round=1))
    assert two.info.values["moments.transport_skipped"] == 1 and two.info.values["moments.refreshed"] == 1
    assert two.memory.means[3].tolist() == one.memory.means[3].tolist()


@pytest.mark.parametrize("door", [{"stale": True}, {"broken": True}])
def test_a_stale_or_broken_answer_does_not_refresh(door):
    part = MomentsDistil()
    one = first(part)
    average = vector(11)
    two = part.make(WORLD, one.memory, making(clients(seed=5), round=1, average=average, **door))
    assert two.memory.counts.tobytes() == one.memory.counts.tobytes()
    assert two.memory.sums.tobytes() == one.memory.sums.tobytes()
    assert two.info.values["moments.refreshed"] == 0 and len(two.info.notes) == 1
    assert two.info.values["moments.transport_skipped"] == 1
    np.testing.assert_allclose(head_of(two.expert), head_of(one.expert), atol=1e-6)  # the head as it stands
    assert two.expert[: F * F].tobytes() == average[: F * F].tobytes()


def test_nothing_known_keeps_the_average():
    for door in ({"stale": True}, {"broken": True}):
        made = first(MomentsDistil(), making(**door))
        assert made.expert.tobytes() == AVERAGE.tobytes() and made.info.values["moments.head_kept"] == 1
        assert any("averaged head is kept" in note for note in made.info.notes)
    one_class = first(MomentsDistil(), making(clients(classes=[2])))
    assert one_class.expert.tobytes() == AVERAGE.tobytes() and one_class.memory.seen.sum() == 1


def test_between_measurements_nothing_is_asked():
    part = MomentsDistil(every=3)
    one = first(part)
    for round, asked in ((1, 0), (2, 0), (3, 1)):
        asks = making(round=round, average=vector(20 + round))
        made = part.make(WORLD, one.memory, asks)
        assert len(asks.uploads.asked) == asked and made.info.values["moments.refreshed"] == asked
        assert made.expert.tobytes() != asks.average.tobytes()


def test_degenerate_features_keep_the_averaged_head():
    """A body that maps everything to one point: no scatter, no head; a sentence says so."""
    average = np.array(AVERAGE)
    average[: F * F] = 0.0
    made = first(MomentsDistil(), making(average=average))
    assert made.expert.tobytes() == average.tobytes() and made.memory.scale == 1.0
    assert "scatter" in made.info.notes[0]


def test_a_dead_feature_is_survived_without_shrinkage():
    average = np.array(AVERAGE)
    LAYOUT.tensor(average, "slope")[:, 1] = 0.0
    LAYOUT.tensor(average, "shift")[1] = 0.0
    made = first(MomentsDistil(gamma=0.0), making(average=average))
    assert np.isfinite(made.expert).all() and np.abs(head_of(made.expert)[:, 1]).max() < 1e-6


def test_few_samples_raise_the_shrinkage():
    few = {i: (x[:2], y[:2]) for i, (x, y) in clients().items()}
    made = first(MomentsDistil(), making(few))
    assert 0.1 < made.info.values["moments.gamma"] < 1.0


def test_min_class_is_carried_over():
    data = clients(classes=[0, 1, 2])
    x, y = data[17]
    data[17] = (x, np.where(np.arange(y.size) == 0, 4, y))  # one sample of class 4
    assert first(MomentsDistil(), making(data)).info.values["moments.classes"] == 4
    floor = first(MomentsDistil(min_class=2), making(data))
    assert floor.info.values["moments.classes"] == 3
    assert (head_of(floor.expert)[4] == head_of(AVERAGE)[4]).all()


def test_covariances_per_class_are_asked_for_or_pooled():
    part = MomentsDistil(head="sgd", per_class=True)
    asks = making()
    made = first(part, asks)  # C · F² = 45 ≤ 4 · d
    assert asks.uploads.asked[0].per_class and made.memory.own.shape == (C, F, F)
    wide = Layout((Entry("w", (C, 64)), Entry("b", (C,))), "w", "b")
    assert not part._per_class(wide) and part.init(SimpleNamespace(layout=wide), AVERAGE).own.size == 0
    pooled = first(MomentsDistil(head="sgd"))
    assert pooled.memory.own.size == 0 and pooled.expert.tobytes() != made.expert.tobytes()


def test_memory_survives_the_state_tree_and_inputs_stay():
    part = MomentsDistil()
    one = first(part)
    arrays, skeleton = tree.take(one.memory)
    back = tree.put(arrays, skeleton, tree.classes_of(part.init(WORLD, SENT)))
    before = {name: array.tobytes() for name, array in arrays.items()}
    asks = making(clients(seed=4), round=1, average=vector(30))
    there, here = part.make(WORLD, back, asks), part.make(WORLD, one.memory, asks)
    assert there.expert.tobytes() == here.expert.tobytes()
    assert {name: array.tobytes() for name, array in tree.take(one.memory)[0].items()} == before
    assert not here.memory.counts.flags.writeable


def test_no_torch_is_loaded():
    import subprocess
    import sys

    code = "import sys, disue.parts.expert as e; e.Distil(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
