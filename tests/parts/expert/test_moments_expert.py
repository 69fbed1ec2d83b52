"""The moments family as an expert: arguments, what it asks, and the head it hands out."""

from __future__ import annotations

import numpy as np
import pytest
from moments_world import AVERAGE, IDS, SENT, WORLD, C, F, clients, features, first, head_of, making, vector

from disue.core.errors import UserError
from disue.core.orders import Sight
from disue.parts.expert import FAMILIES, KINDS, AverageExpert, Distil, NoExpert, family
from disue.parts.expert.moments import MomentsDistil

# -- who is who ----------------------------------------------------------------------------------------


def test_none_and_average():
    made = NoExpert().make(WORLD, NoExpert().init(WORLD, SENT), making())
    assert made.expert is None and not NoExpert().serves and NoExpert().head_scale(None) == 1.0
    made = AverageExpert().make(WORLD, AverageExpert().init(WORLD, SENT), making())
    assert made.expert.tobytes() == AVERAGE.tobytes() and AverageExpert().serves
    assert not NoExpert().sight and not AverageExpert().sight


def test_families_by_name():
    assert isinstance(Distil(), MomentsDistil) and Distil(gamma=0.2).gamma == 0.2
    assert family("moments") is MomentsDistil and MomentsDistil.family == "moments"
    assert set(FAMILIES) == {"moments", "generator"}
    distilled = {"distil", "ensemble", "calibrated", "transferred", "hard-samples", "synthesis"}
    assert set(KINDS) == {"none", "average", *distilled}
    with pytest.raises(UserError) as caught:
        Distil("momnets")
    assert caught.value.key == "expert.family" and "moments" in str(caught.value)


def test_disabled_is_the_average_and_asks_nothing():
    part = MomentsDistil(enabled=False)
    asks = making()
    made = first(part, asks)
    assert made.expert.tobytes() == AVERAGE.tobytes() and not asks.uploads.asked
    assert part.sight == frozenset() and part.serves and part.head_scale(made.memory) == 1.0
    assert MomentsDistil().sight == {Sight.MOMENTS}


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"head": "lad"}, "expert.head"),
        ({"vector": "next"}, "expert.vector"),
        ({"gamma": 2}, "expert.gamma"),
        ({"decay": -0.1}, "expert.decay"),
        ({"blend": 1.5}, "expert.blend"),
        ({"scale": 0.0}, "expert.scale"),
        ({"scale": "auto"}, "expert.scale"),
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


def test_a_constant_scale_is_the_scaled_centred_discriminant_on_the_averages_body():
    """γ = 0.1, s = 0.5, uniform prior, from all rows under the fresh average, in plain numpy."""
    made = first(MomentsDistil(scale=0.5))
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
    assert MomentsDistil(scale=0.5).head_scale(made.memory) == 0.5
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
    part = MomentsDistil(head=head, scale=0.5)
    made, again = first(part), first(part)
    assert made.expert.tobytes() == again.expert.tobytes()
    data = clients(seed=7).values()
    x, y = np.concatenate([x for x, _ in data]), np.concatenate([y for _, y in data])
    logits = features(made.expert, x) @ head_of(made.expert)[:, :F].T + head_of(made.expert)[:, F]
    assert (logits.argmax(axis=1) == y).mean() > 0.2 + 5 * 0.4 / np.sqrt(y.size)  # chance, five errors
    assert made.info.values["moments.gamma"] == (1.0 if head == "ncm" else pytest.approx(0.1))
    assert part.head_scale(made.memory) == (1.0 if head == "sgd" else 0.5)


def test_prior_moves_the_bias_by_the_log_shares():
    skewed = {i: (x, np.minimum(y, 1)) for i, (x, y) in clients(classes=[0, 1, 1, 1]).items()}
    plain = head_of(first(MomentsDistil(scale=1.0), making(skewed)).expert)
    prior = head_of(first(MomentsDistil(scale=1.0, prior=1.0), making(skewed)).expert)
    total = np.bincount(np.concatenate([y for _, y in skewed.values()]), minlength=C)[:2]
    np.testing.assert_allclose(prior[:, :F], plain[:, :F], atol=1e-5)
    difference = (prior - plain)[:2, F]
    assert difference[1] - difference[0] == pytest.approx(np.log(total[1] / total[0]), abs=1e-4)
    half = first(MomentsDistil(scale=1.0, prior=1.0, labels="tempered", tau=0.5), making(skewed))
    again = first(MomentsDistil(scale=1.0, prior=0.5), making(skewed))
    np.testing.assert_allclose(head_of(half.expert), head_of(again.expert), atol=1e-5)


def test_scale_and_match():
    one, two = (first(MomentsDistil(scale=s)) for s in (1.0, 0.2))
    np.testing.assert_allclose(0.2 * head_of(one.expert), head_of(two.expert), atol=1e-5)
    made = first(MomentsDistil(scale="match"))
    before = head_of(AVERAGE)
    wanted = np.linalg.norm(before - before.mean(axis=0))
    assert np.linalg.norm(head_of(made.expert)) == pytest.approx(wanted, rel=1e-5)
    assert MomentsDistil().head_scale(made.memory) == made.info.values["moments.scale"] > 0
    np.testing.assert_allclose(made.memory.scale * head_of(one.expert), head_of(made.expert), atol=1e-4)


@pytest.mark.parametrize("head", ["lda", "ridge"])
def test_a_weight_of_constant_norm(head):
    """Twice the norm of a newly drawn layer of C outputs, whatever the features' size: the direction is the head's."""
    made = first(MomentsDistil(head=head, scale="norm", norm=2.0))
    weight = head_of(made.expert)[:, :F]
    assert np.linalg.norm(weight) == pytest.approx(2.0 * np.sqrt(C / 3), rel=1e-5)
    plain = first(MomentsDistil(head=head, scale=1.0))
    np.testing.assert_allclose(made.memory.scale * head_of(plain.expert), head_of(made.expert), atol=1e-4)


@pytest.mark.parametrize("head", ["lda", "ridge"])
def test_spread_bounds_the_logits_over_the_clients_features(head):
    """Equal shares: the root mean square of the served logits over classes' means and scatter is `spread`."""
    rows = [(x[: 40 * C], np.arange(x.shape[0]) % C) for x, _ in clients(amount=40 * C).values()]
    centres = 5 * np.random.default_rng(3).normal(size=(C, F))
    even = {i: (x + centres[y[: x.shape[0]]], y[: x.shape[0]]) for i, (x, y) in zip(IDS, rows, strict=True)}
    made = first(MomentsDistil(head=head, scale="spread", spread=1.5, gamma=0.0), making(even))
    phi = features(AVERAGE, np.concatenate([x for x, _ in even.values()]))
    logits = phi @ head_of(made.expert)[:, :F].T + head_of(made.expert)[:, F]
    assert np.sqrt((logits**2).mean()) == pytest.approx(1.5, rel=1e-2)
    assert MomentsDistil().head_scale(made.memory) == made.info.values["moments.scale"] > 0


def test_blend():
    full, half = first(MomentsDistil()), first(MomentsDistil(blend=0.5))
    np.testing.assert_allclose(
        head_of(half.expert), (head_of(full.expert) + head_of(AVERAGE)) / 2, rtol=1e-4, atol=1e-5
    )
    assert first(MomentsDistil(blend=0.0)).expert.tobytes() == AVERAGE.tobytes()
