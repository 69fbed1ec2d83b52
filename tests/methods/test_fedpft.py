"""FedPFT: a client's mixtures, features drawn from them, one shot, and a body that stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from methods_bed import run

from disue.core.clients import Order
from disue.core.errors import UserError
from disue.core.layout import HEAD
from disue.core.method import CLOSING
from disue.core.orders import Sight
from disue.core.rounds import refuse
from disue.core.streams import Streams
from disue.core.uploads import PLAIN, Door
from disue.methods import fedpft
from disue.parts.expert.mixtures import COUNTS, MEANS, SENT, SPREADS, WEIGHTS, Mixtures, draws
from disue.runs.spec import Spec
from fakes import layout

STEPS = {"name": "fedpft", "steps": 40}


class Itself:
    """A network whose features are its inputs."""

    def features(self, vector: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        return inputs


def sent(rows: list[float], labels: list[int], components: int = 1, covariance: str = "full") -> dict[str, Any]:
    """What client 4001 sends of these features (one each); the bed's layout has two classes."""
    at, zero = layout(), np.zeros(6, np.float32)
    own: Any = Itself()
    order = Order(4001, 3, zero, zero[None], 0, np.ones(1), {}, len(rows), np.zeros(2, np.int64), at, own, Streams(0))
    probe = Mixtures(components, covariance)
    return dict(probe(np.array(rows, np.float32)[:, None], np.array(labels), order))


@pytest.mark.hand("fedpft")
def test_one_gaussian_by_hand() -> None:
    """Class 0 is {0, 2, 4}: mean 2 and, of greatest likelihood, variance 8/3. The one sample of class 1 stays home."""
    found = sent([0, 2, 4, 7], [0, 0, 0, 1])
    assert found[COUNTS].tolist() == [3, 0] and found[WEIGHTS].tolist() == [[1.0], [0.0]]
    assert found[MEANS].tolist() == [[[2.0]], [[0.0]]]
    assert found[SPREADS].shape == (2, 1, 1, 1)
    assert found[SPREADS].reshape(-1).tolist() == pytest.approx([8 / 3, 0.0], abs=1e-5)
    assert sorted(found) == sorted(SENT)


@pytest.mark.hand("fedpft")
def test_two_gaussians_far_apart_by_hand() -> None:
    """{0, 2} and {100, 102, 104}: weights 2/5 and 3/5, means 1 and 102, variances 1 and 8/3."""
    for covariance, shape in (("full", (2, 2, 1, 1)), ("diag", (2, 2, 1)), ("spherical", (2, 2))):
        found = sent([0, 2, 100, 102, 104], [1] * 5, 2, covariance)
        assert found[SPREADS].shape == shape
        order = np.argsort(found[MEANS][1, :, 0])
        assert found[WEIGHTS][1][order].tolist() == pytest.approx([0.4, 0.6], abs=1e-6)
        assert found[MEANS][1, order, 0].tolist() == pytest.approx([1.0, 102.0], abs=1e-4)
        assert found[SPREADS][1].reshape(-1)[order].tolist() == pytest.approx([1.0, 8 / 3], abs=1e-4)
        assert not any(found[name][0].any() for name in SENT)


def test_a_class_has_at_most_one_component_to_two_samples() -> None:
    found = sent([0, 1, 2, 50, 51], [0, 0, 0, 1, 1], 4)
    assert (found[WEIGHTS] > 0).sum(1).tolist() == [1, 1] and found[COUNTS].tolist() == [3, 2]


def test_what_is_drawn_has_the_mixtures_moments() -> None:
    rng = np.random.default_rng(0)
    means, weights = np.array([[0.0, 5.0], [4.0, -3.0]]), np.array([0.25, 0.75])
    side = np.array([[2.0, 0.0], [1.0, 0.5]])
    full = np.stack([side @ side.T, 0.1 * np.eye(2)])
    for covariance, spreads in (("full", full), ("diag", np.array([[4.0, 1.25], [0.1, 0.1]])), ("spherical", [3, 0.1])):
        x = draws(400_000, weights, means, np.asarray(spreads), covariance, rng)
        first = x[x[:, 1] > 1.0] if covariance == "full" else x
        assert x.mean(0) == pytest.approx(weights @ means, abs=0.05)
        if covariance == "full":  # the components lie apart: the first one's own covariance can be looked at
            assert np.cov(first.T) == pytest.approx(full[0], abs=0.1)
        between = (weights[:, None] * (means - weights @ means) ** 2).sum(0)
        own = {"full": [4.0, 1.25], "diag": [4.0, 1.25], "spherical": [3.0, 3.0]}[covariance]
        assert x.var(0) == pytest.approx(0.25 * np.array(own) + 0.075 + between, abs=0.15)


@pytest.mark.parametrize("covariance", ["full", "diag", "spherical"])
def test_the_whole_of_it_written_out_again(covariance: str) -> None:
    found = run(method={**STEPS, "warmup": 2, "covariance": covariance}, cohort={"share": 0.5})
    setup, average = found.setup, found.state.average
    network, at, streams = setup.world.network, setup.world.layout, setup.world.streams
    rng, drawn, labels = streams("transfer", 2), [], []
    for client in sorted(setup.ids.tolist()):
        x, y = setup.federation.train(client)
        phi = network.features(average, x).astype(np.float64)
        for c in np.flatnonzero(np.bincount(y, minlength=10) > 1).tolist():
            own, n = phi[y == c], int((y == c).sum())
            rng.choice(1, n, p=[1.0])
            noise, sigma = rng.standard_normal((n, at.features)), np.cov(own.T, bias=True)
            if covariance == "full":
                values, vectors = np.linalg.eigh((sigma + 1e-6 * np.eye(len(sigma))).astype(np.float32).astype(float))
                noise = noise @ (vectors * np.sqrt(np.maximum(values, 0))).T
            else:
                scale = np.diag(sigma) if covariance == "diag" else np.full(at.features, np.diag(sigma).mean())
                noise = noise * np.sqrt(scale + 1e-6)
            drawn.append(own.mean(0) + noise)
            labels += [c] * n
    z, labels, rng = np.concatenate(drawn), np.array(labels), streams("transfer-head", 2)
    one, w, speed, queue = np.concatenate([z, np.ones((len(z), 1))], 1), np.zeros((10, at.features + 1)), 0.0, []
    for _ in range(40):
        queue = rng.permutation(len(z)) if len(queue) < 100 else queue
        rows, queue = queue[:100], queue[100:]
        p = np.exp(one[rows] @ w.T)
        slope = (p / p.sum(1, keepdims=True) - np.eye(10)[labels[rows]]).T @ one[rows] / 100
        speed = 0.9 * speed + slope * min(1.0, 5.0 / np.linalg.norm(slope))
        w = w - 0.05 * speed
    np.testing.assert_allclose(found.state.expert, at.with_head(average, w[:, :-1], w[:, -1]), atol=2e-3)
    body = ~at.mask(HEAD)
    assert np.array_equal(found.state.expert[body], average[body])


def test_one_shot_and_then_nobody_is_asked() -> None:
    plain, ours = run(rounds=2, method={"name": "fedavg"}), run(rounds=4, method={**STEPS, "warmup": 2})
    assert np.array_equal(plain.state.average, ours.state.average)  # the body: two rounds of FedAvg
    assert [row["cohort"] for row in ours.rows] == [0, 8, 8, 0, 0]
    assert [row["bytes_up"] > 0 for row in ours.rows] == [False, True, True, False, False]
    assert ["transfer.classes" in row for row in ours.rows] == [False, False, True, False, False]
    assert not any("nobody answered" in note for record in ours.rows for note in record if isinstance(note, str))
    served = ours.setup.method.serve(ours.setup.world, ours.state, ours.setup.ids)
    assert all(np.array_equal(served.models[row], ours.state.expert) for row in served.receives)


def test_without_warm_up_the_initial_body_is_taken_and_nobody_ever_trains() -> None:
    found = run(method={**STEPS, "warmup": 0})
    assert np.array_equal(found.state.average, found.setup.start)
    assert "transfer.classes" in found.rows[0] and sum(row["cohort"] for row in found.rows) == 0
    assert not np.array_equal(found.state.expert, found.state.average)


def test_a_warm_up_longer_than_the_run_ends_with_it() -> None:
    found = run(rounds=2, method={**STEPS, "warmup": 50})
    assert "transfer.classes" in found.rows[2]


def test_all_clients_are_asked_whoever_trained() -> None:
    found = run(method={**STEPS, "warmup": 3}, cohort={"share": 0.25})
    asked = found.setup.method.expert.closing(found.setup.world, 3, found.state.average)
    assert asked.ids.tolist() == sorted(found.setup.ids.tolist()) and asked.stream == CLOSING
    counts = np.stack([found.setup.federation.label_counts(i) for i in found.setup.ids.tolist()])
    assert found.rows[3]["transfer.features"] == counts[counts > 1].sum()


def test_no_steps_are_fedavg_bit_for_bit() -> None:
    plain, ours = run(method={"name": "fedavg"}), run(method={**STEPS, "steps": 0})
    assert np.array_equal(ours.state.expert, plain.state.average)
    assert [row["bytes_up"] for row in ours.rows] == [row["bytes_up"] for row in plain.rows]


def test_a_door_that_shows_no_single_client_is_refused() -> None:
    with pytest.raises(UserError, match="vectors"):
        refuse(fedpft(), Door("protected", PLAIN.offers - {Sight.VECTORS}), "fedpft")
    with pytest.raises(UserError, match=r"method.covariance must|method.covariance: "):
        Spec.of({"method": {"name": "fedpft", "covariance": "tied"}})
