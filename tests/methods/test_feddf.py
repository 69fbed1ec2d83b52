"""FedDF: the mean of logits as target, Adam along a cosine, the average where nothing is distilled."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from methods_bed import run

from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import Making, View
from disue.core.orders import Sight
from disue.core.rounds import refuse
from disue.core.uploads import PLAIN, Door
from disue.methods import feddf
from disue.parts.expert import EnsembleDistil
from disue.parts.expert.ensemble import cosine, drawn
from disue.runs.spec import Spec
from fakes import FakeUploads
from parts.expert.generator_bed import Linear, vector, world

SHARE = {"data": {"name": "digits", "public_share": 0.1}}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def making(ends: list[np.ndarray], average: np.ndarray, network: Linear, *, common: bool = True) -> Making:
    ids = (17, 902, 4001)[: len(ends)]
    door = FakeUploads(dict(zip(ids, ends, strict=True)), average, network.layout)
    groups = Groups.one(np.array(ids, np.int64))
    view = View(4, groups, average[None], average, None)
    return Making(4, average if common else None, view, groups, average[None], average, door)


class Scored(Linear):
    """The network of the bed with the numpy side that targets are made with."""

    def logits(self, model: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        return self.forward(torch.from_numpy(model), torch.from_numpy(inputs))[0].numpy()


@pytest.mark.hand("feddf")
def test_two_opposite_teachers_are_taught_as_a_half_each() -> None:
    """Logits (2, 0) and (0, 2): the target is (½, ½), on which a student that says (3, 0) must end."""
    network = Scored(1, 2)
    zero = np.zeros((2, 1))
    ends = [vector(zero, [2.0, 0.0]), vector(zero, [0.0, 2.0])]
    at = world(network, public=np.zeros((4, 1), np.float32))
    out = EnsembleDistil(steps=400, batch=4, lr=0.05).make(at, None, making(ends, vector(zero, [3.0, 0.0]), network))
    said = torch.from_numpy(out.expert)[2:4].softmax(0)
    assert said.tolist() == pytest.approx([0.5, 0.5], abs=1e-3)
    assert out.info.values["distil.kl"] < 1e-5 and out.info.values["distil.teachers"] == 2


def test_three_steps_written_out_again() -> None:
    network, rng = Scored(2, 3), np.random.default_rng(0)
    ends = [vector(rng.normal(size=(3, 2)), rng.normal(size=3)) for _ in range(3)]
    average = vector(rng.normal(size=(3, 2)), rng.normal(size=3))
    inputs = rng.normal(size=(7, 2)).astype(np.float32)
    at = world(network, public=inputs)
    out = EnsembleDistil(steps=3, batch=5, lr=0.1, temperature=2.0).make(at, None, making(ends, average, network))

    rows = drawn(7, 3, 5, at.streams("distil", 4))
    theta, m, v = average[:9].astype(np.float64), np.zeros(9), np.zeros(9)
    for step in range(3):
        x = inputs[rows[step]].astype(np.float64)

        def f(w: np.ndarray, x: np.ndarray = x) -> np.ndarray:
            z = (x @ w[:6].reshape(3, 2).T + w[6:9]) / 2.0
            p = np.exp(z - z.max(1, keepdims=True))
            return p / p.sum(1, keepdims=True)

        t = f(np.mean([end[:9] for end in ends], axis=0, dtype=np.float64))  # linear: mean logits = logits of the mean
        kl = 2.0**2 * (t * np.log(t / f(theta))).sum(1).mean()
        slope = 2.0**2 * (f(theta) - t) / 2.0 / 5  # T² · ∂KL/∂z, the mean over the batch
        g = np.concatenate([(slope.T @ x).reshape(-1), slope.sum(0)])
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        rate = 0.1 * 0.5 * (1 + math.cos(math.pi * step / 3))
        theta = theta - rate * (m / (1 - 0.9 ** (step + 1))) / (np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8)
    np.testing.assert_allclose(out.expert[:9], theta, atol=2e-5)
    assert out.info.values["distil.kl"] == pytest.approx(kl, rel=1e-4)  # Adam's steps would not see a missing T²
    assert out.expert[9] == average[9]  # a statistic never moves
    assert np.abs(out.expert - average).max() > 0.1


def test_draws_and_rates() -> None:
    rows = drawn(6, 4, 3, np.random.default_rng(1))
    assert rows.shape == (4, 3)
    for once in (rows[:2], rows[2:]):  # six inputs, twelve draws: each input twice, once a pass
        assert sorted(once.reshape(-1).tolist()) == list(range(6))
    assert [cosine(step, 4) for step in (0, 2)] == pytest.approx([1.0, 0.5])


def test_no_steps_are_fedavg_bit_for_bit() -> None:
    plain = run(method={"name": "fedavg"}).state.average
    still = run(method={"name": "feddf", "steps": 0}).state
    assert np.array_equal(still.average, plain) and np.array_equal(still.expert, plain)
    assert run(method={"name": "feddf", "steps": 0}).setup.world.public is None


def test_the_average_of_the_first_round_is_fedavgs_and_clients_start_from_the_expert() -> None:
    plain, ours = (run(rounds=1, method={"name": name}, **SHARE) for name in ("fedavg", "feddf"))
    assert np.array_equal(plain.state.average, ours.state.average)
    assert not np.array_equal(ours.state.expert, ours.state.average)
    asked = ours.setup.method.ask(ours.setup.world, ours.state, ours.setup.ids)
    assert np.array_equal(asked.starts, ours.state.expert[None])


def test_without_a_share_a_tenth_is_taken_and_said() -> None:
    found = run(rounds=1, method={"name": "feddf"})
    same = run(rounds=1, method={"name": "feddf"}, **SHARE)
    assert np.array_equal(found.state.expert, same.state.expert)
    assert any("10% of each client" in note for note in found.setup.notes)
    assert not any("public" in note for note in same.setup.notes)


def test_one_teacher_is_the_average() -> None:
    network = Scored(1, 2)
    average = vector(np.zeros((2, 1)), [3.0, 0.0])
    at = world(network, public=np.zeros((4, 1), np.float32))
    out = EnsembleDistil().make(at, None, making([vector(np.ones((2, 1)))], average, network))
    assert out.expert.tobytes() == average.tobytes() and "one teacher" in out.info.notes[0]


def test_what_it_needs() -> None:
    method, network = feddf(), Scored(1, 2)
    assert Sight.VECTORS in method.sight
    with pytest.raises(UserError, match="vectors"):
        refuse(method, Door("protected", PLAIN.offers - {Sight.VECTORS}), "feddf")
    with pytest.raises(UserError, match=r"data\.public"):
        EnsembleDistil().init(world(network), np.zeros(5, np.float32))
    start = vector(np.zeros((2, 1)))
    at = world(network, public=np.zeros((4, 1), np.float32))
    with pytest.raises(UserError, match="starts differ"):
        EnsembleDistil().make(at, None, making([start, start], start, network, common=False))


@pytest.mark.parametrize("given", [{"steps": -1}, {"batch": 0}, {"lr": -1.0}])
def test_ranges_are_said_of_the_specs_key(given: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"method.{next(iter(given))} must be"):
        Spec.of({"method": {"name": "feddf", **given}})
