"""DENSE: one round, an ensemble of logits, generators that are thrown away, and a student that begins anew."""

from __future__ import annotations

import dataclasses
from typing import Any

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
from disue.methods import dense
from disue.parts.expert import Synthesis
from disue.parts.expert.batch_norm import Witnesses, normalises
from disue.parts.expert.generator import conditional
from disue.parts.expert.singles import ends
from disue.parts.expert.synthesis import Shot
from disue.runs.spec import Spec
from engine.engine_bed import bed
from fakes import FakeUploads
from parts.expert.generator_bed import Linear, pair, vector, world

KEYS: dict[str, Any] = {"epochs": 2, "generator_steps": 2, "batch": 8, "nz": 4, "width": 2}
SMALL: dict[str, Any] = {"name": "dense", "expert": KEYS}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def making(models: np.ndarray, average: np.ndarray) -> Making:
    ids = (17, 902)
    door = FakeUploads(dict(zip(ids, models, strict=True)), average, Linear().layout)
    groups = Groups.one(np.array(ids))
    view = View(0, groups, average[None], average, None)
    return Making(0, average, view, groups, average[None], average, door)


@pytest.mark.hand("dense")
def test_where_student_and_clients_name_one_class_nothing_sets_them_apart() -> None:
    """All say (0, 9, 0) whatever they see: ε = 0. A student that says (9, 0, 0): KL = ln p₁ − ln q₁ times p₁ …"""
    zero = np.zeros((3, 2))
    clients = np.stack([vector(zero, [0, 9, 0])] * 2)
    keys: dict[str, Any] = {"epochs": 1, "generator_steps": 3, "batch": 4, "nz": 2, "width": 1, "student": "average"}
    alike = Synthesis(**keys).make(world(), Shot(), making(clients, vector(zero, [0, 9, 0])))
    assert alike.info.values["dphase.transfer"] == 0.0
    other = Synthesis(**keys).make(world(), Shot(), making(clients, vector(zero, [9, 0, 0])))
    p = np.exp([0.0, 9.0, 0.0]) / (np.exp(9) + 2)
    assert other.info.values["dphase.transfer"] == pytest.approx(-(p[0] * -9 + p[1] * 9), rel=1e-5)


def test_two_epochs_written_out_again() -> None:
    models, average = pair()
    at = dataclasses.replace(world(), redraw=lambda index: vector(np.full((3, 2), 0.1 + index), [0.3, 0.2, 0.1], 1.5))
    part = Synthesis(
        epochs=2, generator_steps=3, batch=4, nz=3, width=1, generator_lr=0.7, student_lr=0.2,
        student_momentum=0.5, temperature=2.0, asked=0.7, apart=1.3,
    )  # fmt: skip
    asked = making(models, average)
    out = part.make(at, Shot(), asked)

    clients = [torch.tensor(end) for end in ends(asked)]

    def f(w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (x @ w[:6].view(3, 2).T + w[6:9]) * w[9]

    rng, theta, speed, pool = at.streams("dphase", 0), torch.tensor(at.fresh(0)), torch.zeros(10), []
    differed, kept = 0, []
    for epoch in range(2):
        y = torch.tensor(np.sort(rng.integers(3, size=4)))
        z = torch.tensor(rng.standard_normal((4, 3), np.float32), requires_grad=True)
        module = conditional(at, 3, 1, stream=("synthesis", epoch)).train()
        adam = torch.optim.Adam([*module.parameters(), z], lr=0.7, betas=(0.5, 0.999))
        best = None
        for step in range(3):
            x = module(z, torch.zeros(4, 3))
            t, s = (f(clients[0], x) + f(clients[1], x)) / 2, f(theta, x)
            kl = (t.softmax(1) * (t.log_softmax(1) - s.log_softmax(1))).sum(1)
            mask = (t.argmax(1) != s.argmax(1)).float()
            loss = 0.7 * torch.nn.functional.cross_entropy(t, y) - 1.3 * (mask * kl).mean()
            differed += int(mask.sum())
            if best is None or float(loss.detach()) < best[0]:
                best = (float(loss.detach()), x.detach().clone(), step)
            adam.zero_grad()
            loss.backward()
            adam.step()
        pool.append(best[1])
        kept.append(best[2])
        x = torch.cat(pool)
        for rows in torch.tensor(rng.permutation(len(x))).split(4):
            w = theta.clone().requires_grad_()
            t = (f(clients[0], x[rows]) + f(clients[1], x[rows])) / 2 / 2.0
            kl = (t.softmax(1) * (t.log_softmax(1) - (f(w, x[rows]) / 2.0).log_softmax(1))).sum(1)
            (g,) = torch.autograd.grad(4.0 * kl.mean(), w)
            g[9] = 0.0
            speed = 0.5 * speed + g
            theta = theta - 0.2 * speed
    assert 0 < differed < 24  # the mask is seen on both sides
    assert min(kept) < 2  # the inputs of least loss are not always the last
    np.testing.assert_allclose(out.expert, theta.numpy(), atol=2e-4)
    assert np.abs(out.expert - at.fresh(0)).max() > 0.1


@pytest.mark.hand("dense")
def test_batch_normalisation_by_hand() -> None:
    """Running mean 1 and variance 4; inputs of mean 0 and variance 1, three channels: ‖(3, 3, 3)‖ + ‖(1, 1, 1)‖."""
    at = bed("normed")
    assert normalises(at.layout) and not normalises(bed("tiny").layout)
    module = at.network.module(at.start)
    with torch.no_grad():
        module.conv.weight.zero_()
        for channel in range(3):  # the layer's input: the first channel of x
            module.conv.weight[channel, 0, 1, 1] = 1.0
        module.conv.bias.zero_()
        module.norm.running_mean.fill_(1.0)
        module.norm.running_var.fill_(4.0)
    from disue.models.flat import flatten

    row = flatten(module)
    x = torch.ones(2, 2, 4, 4)
    x[0, 0] = -1.0  # half −1, half 1
    logits, off = Witnesses(at.network, np.stack([row, row]))(x.requires_grad_())
    assert float(off.detach()) == pytest.approx(2 * (np.sqrt(27) + np.sqrt(3)), rel=1e-6)
    np.testing.assert_allclose(logits[1].detach().numpy(), at.network.logits(row, x.detach().numpy()), atol=1e-5)
    (slope,) = torch.autograd.grad(off, x)
    assert slope[:, 0].abs().sum() > 0 and not slope[:, 1].any()


def test_batch_normalisation_is_matched_in_a_run() -> None:
    model = {"name": "resnet8", "norm": "batch", "width": 4}

    def once(normal: float) -> Any:
        method = {"name": "dense", "expert": {**KEYS, "normal": normal}}
        return run(rounds=1, method=method, model=model, partition={"clients": 3, "alpha": 1.0})

    on, off = once(1.0), once(0.0)
    assert on.rows[1]["dphase.normal"] > 0 and not np.array_equal(on.state.expert, off.state.expert)
    assert "dphase.normal" not in run(rounds=1, method=SMALL).rows[1]


def test_one_shot() -> None:
    first, later = run(rounds=1, method=SMALL), run(rounds=4, method=SMALL)
    assert np.array_equal(first.state.expert, later.state.expert)
    assert [row["cohort"] for row in later.rows] == [0, 8, 0, 0, 0]
    assert [row["bytes_up"] > 0 for row in later.rows] == [False, True, False, False, False]
    plain = run(rounds=1, method={"name": "fedavg"})
    assert np.array_equal(later.state.average, plain.state.average)  # of its one round
    served = later.setup.method.serve(later.setup.world, later.state, later.setup.ids)
    assert all(np.array_equal(served.models[row], later.state.expert) for row in served.receives)


def test_a_round_that_nobody_answers_is_not_the_shot() -> None:
    found = run(rounds=1, method={"name": "fedavg"})
    method, world_, ids = Spec.of({"method": SMALL}).build(), found.setup.world, found.setup.ids
    state = method.init(world_, found.setup.start).state
    orders = method.ask(world_, state, ids)
    state = method.tell(world_, state, orders, found.side.trainer.answer(world_, orders, ids[:0])).state
    assert method.ask(world_, state, ids).ids.size == 8
    orders = method.ask(world_, state, ids)
    state = method.tell(world_, state, orders, found.side.trainer.answer(world_, orders)).state
    assert method.ask(world_, state, ids).ids.size == 0


def test_the_student_begins_as_a_new_draw() -> None:
    still = {**KEYS, "student_lr": 0.0}
    found = run(rounds=1, method={"name": "dense", "expert": still})
    assert np.array_equal(found.state.expert, found.setup.world.fresh(0))
    assert not np.array_equal(found.state.expert, found.setup.start)
    other = run(rounds=1, method={"name": "dense", "expert": {**still, "student": "average"}})
    assert np.array_equal(other.state.expert, other.state.average)


def test_no_epochs_are_one_round_of_fedavg_bit_for_bit() -> None:
    plain = run(rounds=1, method={"name": "fedavg"}).state.average
    still = run(rounds=3, method={"name": "dense", "epochs": 0})
    assert np.array_equal(still.state.expert, plain) and still.rows[3]["cohort"] == 0


def test_the_student_follows_the_clients() -> None:
    found = run(rounds=1, method={"name": "dense"}, local={"epochs": 20, "batch": 20, "lr": 0.1}, evaluate={"every": 1})
    row = found.rows[1]
    setup = found.setup
    x, y = setup.federation.pool()
    said = setup.world.network.logits(setup.world.fresh(0), x).argmax(1)
    assert row["expert_global"] > 100 * float((said == y).mean()) + 15  # of a student that never saw the average


def test_what_it_needs() -> None:
    assert dense().sight >= {Sight.VECTORS} and Sight.LABELS not in dense().sight  # uniform labels: no counts
    with pytest.raises(UserError, match="vectors"):
        refuse(dense(), Door("protected", PLAIN.offers - {Sight.VECTORS}), "dense")
    with pytest.raises(UserError, match="student"):
        Spec.of({"method": {"name": "dense", "expert": {"student": "mean"}}})
