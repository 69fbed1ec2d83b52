"""CCVR: moments of the union, virtual features, and a model that is used but never trained from."""

from __future__ import annotations

import numpy as np
import pytest
from methods_bed import run

from disue.core.errors import UserError
from disue.core.layout import HEAD
from disue.core.method import CLOSING
from disue.core.orders import Sight
from disue.core.rounds import refuse
from disue.core.uploads import PLAIN, Door, Moments
from disue.methods import ccvr
from disue.parts.expert import Calibrated, store
from disue.parts.expert.calibrated import covariances
from disue.parts.expert.heads import root
from disue.runs.spec import Spec

CCVR = {"name": "ccvr", "features": 50, "steps": 40}


def moments(*clients: dict[int, list[list[float]]], classes: int, features: int) -> Moments:
    """The door's sums of clients' features by class."""
    counts = np.zeros((1, classes), np.int64)
    sums, second = np.zeros((1, classes, features)), np.zeros((1, classes, features, features))
    for client in clients:
        for label, rows in client.items():
            x = np.array(rows, np.float64).reshape(-1, features)
            counts[0, label] += len(x)
            sums[0, label] += x.sum(0)
            second[0, label] += x.T @ x
    return Moments(np.array([0]), counts, sums, second)


@pytest.mark.hand("ccvr")
def test_two_clients_by_hand() -> None:
    """A: {0, 2}, B: {4}: μ = 2 and Σ = ½ · 2 + (2 · 1 + 1 · 16) / 2 − 3/2 · 4 = 4."""
    found = store.measured(moments({0: [[0], [2]]}, {0: [[4]]}, classes=1, features=1), per_class=True)
    assert found.means.tolist() == [[2.0]]
    np.testing.assert_allclose(covariances(found, found.counts > 0)[0], [[4.0]], atol=1e-12)


def test_the_papers_equations_are_the_moments_of_the_union() -> None:
    rng = np.random.default_rng(0)
    own = [rng.normal(size=(n, 4)) @ rng.normal(size=(4, 4)) + 5 * rng.normal(size=4) for n in (7, 2, 30, 1)]
    found = store.measured(moments(*({1: x.tolist()} for x in own), classes=3, features=4), per_class=True)
    seen = found.counts > 0
    (sigma,) = covariances(found, seen)
    n = np.array([len(x) for x in own])
    mu_k, total = np.stack([x.mean(0) for x in own]), n.sum()
    mu = (n[:, None] * mu_k).sum(0) / total
    paper = -total / (total - 1) * np.outer(mu, mu)
    for x, m in zip(own, mu_k, strict=True):
        paper += (len(x) - 1) / (total - 1) * (np.cov(x.T) if len(x) > 1 else 0.0)
        paper += len(x) / (total - 1) * np.outer(m, m)
    union = np.concatenate(own)
    assert seen.tolist() == [False, True, False]
    np.testing.assert_allclose(found.means[1], mu, atol=1e-10)
    np.testing.assert_allclose(sigma, paper, atol=1e-10)
    np.testing.assert_allclose(sigma, np.cov(union.T), atol=1e-10)


def test_a_class_of_one_sample_has_the_pooled_covariance() -> None:
    rows = {0: [[0, 0], [2, 0]], 1: [[5, 5]], 2: [[0, 1], [0, 3], [0, 5]]}  # within: 2 and 8 of 1 + 2 degrees
    found = store.measured(moments(rows, classes=3, features=2), per_class=True)
    first, second, third = covariances(found, found.counts > 0)
    np.testing.assert_allclose([first, third], [[[2, 0], [0, 0]], [[0, 0], [0, 4]]], atol=1e-12)
    np.testing.assert_allclose(second, [[2 / 3, 0], [0, 8 / 3]], atol=1e-12)
    alone = store.measured(moments({0: [[1]], 1: [[2]]}, classes=2, features=1), per_class=True)
    assert covariances(alone, alone.counts > 0) is None


def test_a_root_of_a_singular_covariance() -> None:
    x = np.random.default_rng(1).normal(size=(3, 6))  # fewer samples than features
    sigma = np.cov(x.T)
    np.testing.assert_allclose(root(sigma) @ root(sigma).T, sigma, atol=1e-12)


def by_hand(found: object) -> np.ndarray:
    """The expert of a finished run once more, from the clients' features themselves."""
    setup, average = found.setup, found.state.average  # type: ignore[attr-defined]
    network, layout = setup.world.network, setup.world.layout
    pairs = [setup.federation.train(int(i)) for i in setup.ids]
    x, y = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
    phi, rng = network.features(average, x).astype(np.float64), setup.world.streams("calibration", 3)
    noise = rng.standard_normal((10 * 50, layout.features))
    drawn = []
    for c in range(10):
        values, vectors = np.linalg.eigh(np.cov(phi[y == c].T))
        side = vectors * np.sqrt(np.maximum(values, 0))
        drawn.append(phi[y == c].mean(0) + noise[50 * c : 50 * (c + 1)] @ side.T)
    z, labels = np.concatenate(drawn), np.repeat(np.arange(10), 50)
    weight, bias = (part.astype(np.float64) for part in layout.head(average))
    at, speed, queue = np.concatenate([weight, bias[:, None]], 1), 0.0, np.zeros(0, np.int64)
    ones = np.concatenate([z, np.ones((len(z), 1))], 1)
    for _ in range(40):
        queue = rng.permutation(500) if len(queue) < 100 else queue
        rows, queue = queue[:100], queue[100:]
        p = np.exp(ones[rows] @ at.T)
        p /= p.sum(1, keepdims=True)
        slope = (p - np.eye(10)[labels[rows]]).T @ ones[rows] / 100
        slope *= min(1.0, 5.0 / np.linalg.norm(slope))
        speed = 0.9 * speed + slope
        at = at - 0.05 * speed
    return layout.with_head(average, at[:, :-1], at[:, -1])


def test_the_whole_of_it_written_out_again() -> None:
    found = run(method={**CCVR, "last": 1}, cohort={"share": 0.5})  # half the clients train, all are measured
    head = found.setup.world.layout.mask(HEAD)
    np.testing.assert_allclose(found.state.expert, by_hand(found), atol=1e-4)
    assert np.abs(found.state.expert - found.state.average)[head].max() > 0.1
    assert np.array_equal(found.state.expert[~head], found.state.average[~head])


def test_training_is_fedavgs_bit_for_bit_and_what_is_served_is_calibrated() -> None:
    plain, ours = run(method={"name": "fedavg"}), run(method=CCVR)
    assert np.array_equal(plain.state.average, ours.state.average)
    method, world, state = ours.setup.method, ours.setup.world, ours.state
    assert np.array_equal(method.ask(world, state, ours.setup.ids).starts, state.average[None])
    served = method.serve(world, state, ours.setup.ids)
    assert all(np.array_equal(served.models[row], state.expert) for row in served.receives)
    assert not np.array_equal(state.expert, state.average)


@pytest.mark.parametrize("off", [{"steps": 0}, {"last": 0}])
def test_switched_off_it_is_fedavg_and_asks_nothing(off: dict[str, int]) -> None:
    plain, ours = run(method={"name": "fedavg"}), run(method={**CCVR, **off})
    assert np.array_equal(ours.state.expert, plain.state.average)
    assert [row["bytes_up"] for row in ours.rows] == [row["bytes_up"] for row in plain.rows]
    assert ours.setup.method.sight == plain.setup.method.sight


def test_the_last_rounds_are_calibrated_with_all_clients() -> None:
    found = run(rounds=4, method={**CCVR, "last": 2}, cohort={"share": 0.25})
    assert ["calibration.classes" in row for row in found.rows] == [False, False, False, True, True]
    assert found.rows[4]["calibration.classes"] == 10
    assert found.rows[4]["calibration.loss"] < found.rows[4]["calibration.loss_before"]
    layout = found.setup.world.layout
    c, f = layout.classes, layout.features
    once = 8 * (8 * c + 4 * (c * f + c * f * (f + 1) // 2))  # counts, sums and triangles of eight clients
    assert found.rows[4]["bytes_up"] - found.rows[1]["bytes_up"] == once
    asked = found.setup.method.expert.closing(found.setup.world, 4, found.state.average)
    assert asked.ids.tolist() == sorted(found.setup.ids.tolist()) and asked.stream == CLOSING and asked.local is None


def test_nobody_answers() -> None:
    found = run(method=CCVR)
    method, world, state = found.setup.method, found.setup.world, found.state
    orders = method.expert.closing(world, 3, state.average)
    empty = found.side.trainer.answer(world, orders, np.zeros(0, np.int64))
    told = method.tell(world, state, orders, empty)
    assert told.state is state and told.then is None and "stays as it is" in told.info.notes[0]


def test_in_a_spec_the_part_keeps_the_hosts_start() -> None:
    changed = Spec.of({"method": {"name": "ccvr", "expert": {"lr": 0.1}}}).build()
    assert changed.start == ccvr().start and changed.expert == Calibrated(lr=0.1)
    hosted = run(
        partition={"clients": 8, "alpha": 0.3},
        method={"name": "clustered", "k": 2, "expert": {"kind": "calibrated", "steps": 20, "last": 1}},
    )
    plain = run(partition={"clients": 8, "alpha": 0.3}, method={"name": "clustered", "k": 2})
    assert np.array_equal(hosted.state.models, plain.state.models)
    assert not np.array_equal(hosted.state.expert, hosted.state.average)
    with pytest.raises(UserError, match="share has no effect"):
        Spec.of({"method": {"name": "ccvr", "expert": {"share": 1.0}}})


def test_a_door_without_moments_is_refused() -> None:
    with pytest.raises(UserError, match="moments"):
        refuse(ccvr(), Door("sums", PLAIN.offers - {Sight.MOMENTS}), "ccvr")
    refuse(ccvr(), Door("sums", frozenset({Sight.SUMS, Sight.MOMENTS})), "ccvr")  # and nothing else is needed
