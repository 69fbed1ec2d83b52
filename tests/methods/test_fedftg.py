"""FedFTG: single clients teach, weighted by class; and the losses of the authors' code, one by one."""

from __future__ import annotations

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
from disue.methods import fedftg
from disue.parts.expert import Distil, HardSamples
from disue.parts.expert.distil import Maker, flattened
from disue.parts.expert.generator import conditional
from disue.parts.expert.labels import draw
from disue.parts.expert.singles import ends, singles
from disue.parts.expert.weights import group_weights
from disue.runs.spec import Spec
from fakes import FakeUploads
from parts.expert.generator_bed import pair, world

IDS = (17, 902)
COUNTS = {17: (30, 10, 0), 902: (10, 30, 20)}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def making(*, turned: bool = False) -> Making:
    """Two clients that start from one average; `turned` gives each the other's end and counts."""
    models, average = pair()
    models = models[::-1] if turned else models
    counts = dict(zip(IDS, list(COUNTS.values())[:: -1 if turned else 1], strict=True))
    door = FakeUploads(dict(zip(IDS, models, strict=True)), average, world().layout, counts=counts)
    groups = Groups.one(np.array(IDS))
    view = View(3, groups, average[None], average, None)
    return Making(3, average, view, groups, average[None], average, door)


@pytest.mark.hand("fedftg")
def test_class_weights_by_hand() -> None:
    """Of class 0 the clients hold 30 and 10: α = ¾ and ¼; class 2 is the second client's alone."""
    alone = singles(making())
    counts = alone.uploads.labels(alone.groups)
    assert counts.tolist() == [[30, 10, 0], [10, 30, 20]]
    assert group_weights("count", counts).tolist() == [[0.75, 0.25, 0.0], [0.25, 0.75, 1.0]]


def test_clients_teach_by_their_ends() -> None:
    alone = singles(making())
    np.testing.assert_allclose(alone.models, pair()[0], atol=1e-6)
    assert alone.groups.ids.tolist() == [17, 902] and alone.groups.numbers.size == 2
    assert np.array_equal(alone.average, making().average)
    assert np.array_equal(ends(making()), alone.models)


HARD: dict[str, Any] = {"iterations": 2, "student_steps": 2, "batch": 6, "nz": 3, "width": 1, "lr_decay": 0.9}


def test_two_iterations_of_the_codes_losses_written_out_again() -> None:
    at, part = world(), HardSamples(**HARD, generator_lr=0.02, student_lr=0.3, weight_decay=0.01, cls=0.7, dis=1.3)
    average = making().average
    memory = part.init(at, average)
    out = part.make(at, memory, making())

    clients = [torch.tensor(end) for end in ends(making())]
    alpha = torch.tensor([[0.75, 0.25, 0.0], [0.25, 0.75, 1.0]])
    rng, fade = at.streams("dphase", 3), 0.9**3
    labels = draw(np.array([0.4, 0.4, 0.2]), 12, rng).reshape(2, 6)
    maker = Maker(conditional(at, 3, 1), memory.weights)
    m = v = torch.zeros(memory.weights.size)
    theta, count = torch.tensor(average), 0

    def f(w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (x @ w[:6].view(3, 2).T + w[6:9]) * w[9]

    for row in labels:
        y, z = torch.tensor(row), torch.tensor(rng.standard_normal((6, 3), np.float32))
        for k, client in enumerate(clients):
            x, weight = maker(z, y), alpha[k][y]
            hard = -((f(theta, x) - f(client, x).detach()).abs().mean(1) * weight).mean()
            asked = torch.nn.functional.cross_entropy(f(client, x), y) * weight.mean()
            near = (x[:, None] - x[None]).abs().mean(2) * ((z[:, None] - z[None]) ** 2).mean(2)
            loss = hard + 0.7 * asked + 1.3 * torch.exp(-near.mean()) / 2
            g = torch.cat([one.reshape(-1) for one in torch.autograd.grad(loss, maker.weights)])
            count += 1
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            step = m / (1 - 0.9**count) / (torch.sqrt(v / (1 - 0.999**count)) + 1e-8)
            for tensor, piece in zip(maker.weights, maker.pieces(step), strict=True):
                tensor.data -= 0.02 * fade * piece
        x = maker(z, y).detach()
        t = sum(alpha[k][y][:, None] * torch.softmax(f(client, x), 1) for k, client in enumerate(clients))
        for _ in range(2):
            w = theta.clone().requires_grad_()
            (g,) = torch.autograd.grad(torch.mean(-torch.log_softmax(f(w, x), 1) * t), w)
            moves = torch.tensor([1.0] * 9 + [0.0])
            theta = theta - 0.3 * fade * (g + 0.01 * theta) * moves
    np.testing.assert_allclose(out.expert, theta.numpy(), atol=1e-5)
    moved = np.abs(out.memory.weights - memory.weights)
    # Adam divides by the gradient's size: where that is rounding noise only its sign differs
    assert np.mean(np.abs(flattened(maker.module) - out.memory.weights) < 1e-4) > 0.97 and moved.max() > 0.03
    assert np.abs(out.expert - average).max() > 0.01 and out.expert[9] == average[9]


def test_the_codes_result_hangs_on_the_order_of_the_clients_and_the_papers_does_not() -> None:
    """One generator step for each client in turn: which is why the formulas are the default."""
    keys = {"iterations": 2, "student_steps": 2, "batch": 6, "nz": 3, "width": 1}
    faithful = HardSamples(**keys)
    formulas = Distil("generator", teachers="clients", mask="none", void=1.0, warmup=0, ramp=0, **keys)
    apart = []
    for part in (faithful, formulas):
        at = world()
        first, second = (
            part.make(at, part.init(at, making().average), making(turned=turned)).memory.weights
            for turned in (False, True)
        )
        apart.append(float(np.mean(np.abs(first - second) > 1e-4)))
    assert apart[0] > 0.2 and apart[1] < 0.05


@pytest.mark.parametrize("faithful", [False, True])
def test_no_iterations_are_fedavg_bit_for_bit(faithful: bool) -> None:
    plain = run(method={"name": "fedavg"}).state.average
    still = run(method={"name": "fedftg", "iterations": 0, "faithful": faithful}).state
    assert np.array_equal(still.average, plain) and np.array_equal(still.expert, plain)


@pytest.mark.parametrize("faithful", [False, True])
def test_clients_start_from_what_was_distilled(faithful: bool) -> None:
    plain = run(rounds=1, method={"name": "fedavg"})
    found = run(rounds=1, method={"name": "fedftg", "iterations": 1, "faithful": faithful})
    assert np.array_equal(found.state.average, plain.state.average)
    assert not np.array_equal(found.state.expert, found.state.average)
    asked = found.setup.method.ask(found.setup.world, found.state, found.setup.ids)
    assert np.array_equal(asked.starts, found.state.expert[None])
    assert found.rows[1]["dphase.teachers"] == 8 and found.rows[1]["dphase.discarded"] == 0


def test_one_code_path_with_disue_alone() -> None:
    """Groups of one that start from the expert, prior labels, count weights: FedFTG's D-phase, up to rounding."""
    keys: dict[str, Any] = {"iterations": 1, "generator_lr": 0.0, "mask": "none", "void": 1.0, "student_lr": 0.1}
    ours = run(rounds=1, method={"name": "fedftg", "expert": keys})
    keys = {**keys, "warmup": 0, "ramp": 0, "disagree": "none", "batch": 50}
    disue = run(rounds=1, method={"name": "disue-generator", "grouping": {"kind": "alone"}, "expert": keys})
    np.testing.assert_allclose(ours.state.expert, disue.state.expert, atol=1e-5)
    assert np.abs(ours.state.expert - ours.state.average).max() > 1e-3


def test_one_client_is_no_ensemble() -> None:
    for faithful in (False, True):
        method = {"name": "fedftg", "iterations": 1, "faithful": faithful}
        found = run(rounds=1, method=method, cohort={"share": 0.125})
        assert np.array_equal(found.state.expert, found.state.average) and found.rows[1]["dphase.skipped"] == 1


@pytest.mark.parametrize("faithful", [False, True])
def test_what_it_needs(faithful: bool) -> None:
    method = fedftg(faithful=faithful)
    assert {Sight.VECTORS, Sight.LABELS} <= method.sight
    with pytest.raises(UserError, match="vectors"):
        refuse(method, Door("protected", PLAIN.offers - {Sight.VECTORS}), "fedftg")
    changed = Spec.of({"method": {"name": "fedftg", "faithful": faithful, "expert": {"student_lr": 0.5}}}).build()
    assert type(changed.expert) is type(method.expert) and changed.expert.student_lr == 0.5
    with pytest.raises(UserError, match=r"student_lr must be ≥ 0"):
        Spec.of({"method": {"name": "fedftg", "faithful": faithful, "expert": {"student_lr": -1.0}}})
