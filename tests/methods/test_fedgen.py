"""FedGen: a generator of features on which heads agree, what it does to a client, and the head in training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from methods_bed import run

from disue.core.clients import Batch, Order
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import View
from disue.core.orders import Sight
from disue.core.rounds import refuse
from disue.core.streams import Streams
from disue.core.uploads import PLAIN, Door
from disue.methods import fedgen
from disue.methods.fedgen import Agreed, Consensus
from disue.parts.aggregate import Mean
from disue.parts.expert.weights import group_weights
from disue.parts.local import Erm, Generative
from disue.parts.local.generative import ASKED, GENERATOR, LATENTS, SHAPE, SHARES
from disue.parts.local.latents import Latents
from disue.runs.spec import Spec
from engine.engine_bed import bed
from fakes import answer, orders, world

A, B = 17, 902


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


# -- the client ----------------------------------------------------------------------------------------


class Stub:
    """A network that says `logits` of its inputs, and a head with weight I and no bias."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits

    def __call__(self, inputs: torch.Tensor, name: str | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        return self.logits, inputs

    def head(self, features: torch.Tensor) -> torch.Tensor:
        return features


@pytest.mark.hand("fedgen")
def test_a_clients_loss_by_hand() -> None:
    """The head says (ln 3, 0) of class 0's features, (0, 0) of class 1's; p = (1, 0). The input says (0, 0), label 0.

    Asked: −ln ¾. Told: KL((¾, ¼) ‖ (½, ½)) = ¾ ln 3/2 + ¼ ln ½. Own: ln 2.
    """
    (phase,) = Generative(a=2.0, b=5.0).phases
    made = torch.tensor([[[math.log(3.0), 0.0]], [[0.0, 0.0]]])
    context = {LATENTS: made, SHARES: torch.tensor([1.0, 0.0])}
    batch = Batch(torch.zeros(1, 2), torch.tensor([0]))
    found = phase.loss(Stub(torch.zeros(1, 2)), batch, context)  # type: ignore[arg-type]
    told = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(found) == pytest.approx(math.log(2) - 2 * math.log(0.75) + 5 * told, abs=1e-6)
    nothing = {LATENTS: torch.zeros_like(made), SHARES: torch.zeros(2)}
    assert float(phase.loss(Stub(torch.zeros(1, 2)), batch, nothing)) == pytest.approx(math.log(2), abs=1e-6)  # type: ignore[arg-type]


def test_what_is_told_has_no_gradient_and_what_is_asked_has_one() -> None:
    head = torch.eye(2).requires_grad_()
    made, batch = torch.tensor([[[2.0, 1.0]], [[0.5, 0.0]]]), Batch(torch.zeros(2, 2), torch.tensor([0, 1]))
    context = {LATENTS: made, SHARES: torch.tensor([0.5, 0.5])}

    class Weighed(Stub):
        def head(self, features: torch.Tensor) -> torch.Tensor:
            return features @ head.T

    for a, b in ((0.0, 3.0), (1.0, 0.0)):
        (phase,) = Generative(a=a, b=b).phases
        loss = phase.loss(Weighed(torch.zeros(2, 2, requires_grad=True)), batch, context)  # type: ignore[arg-type]
        (slope,) = torch.autograd.grad(loss, head, allow_unused=True, materialize_grads=True)
        assert bool(slope.any()) == (a > 0)


def test_weights_fall_and_begin_with_the_second_round() -> None:
    part = Generative(a=10.0, b=4.0, fade=0.5, lr=0.2, lr_decay=0.5)
    assert (part.at(0).a, part.at(0).b) == (0.0, 0.0) and type(part.at(0).phases[0]) is type(Erm().phases[0])
    assert (part.at(2).a, part.at(2).b, part.at(2).lr) == (2.5, 1.0, 0.05)
    assert part.at(60).a == part.at(60).b == 1e-4
    assert Generative(a=0.0, b=1.0).at(3).a == 0.0


def asked(client: int, extras: Mapping[str, np.ndarray], round: int = 3) -> Order:
    at = bed("tiny").layout
    start = np.zeros(at.d, np.float32)
    counts = np.array([3, 0, 0, 0])
    return Order(client, round, start, start[None], 0, np.ones(1), extras, 3, counts, at, None, Streams(0))


def test_a_client_draws_for_itself_and_takes_all_classes() -> None:
    at = bed("tiny").layout
    latents = Latents(5, 7, at.classes, at.features)
    weights = latents.drawn(np.random.default_rng(0))
    sent = {GENERATOR: weights, SHAPE: np.array([5, 7]), ASKED: np.full(4, 0.25, np.float32)}
    part = Generative(draws=6).at(3)
    one, again, other, later = (
        part.context(asked(client, sent, round), {}).fixed[LATENTS]
        for client, round in ((A, 3), (A, 3), (B, 3), (A, 4))
    )
    assert one.shape == (4, 6, at.features) and np.array_equal(one, again)
    assert not np.array_equal(one, other) and not np.array_equal(one, later)
    nothing = part.context(asked(A, {}), {})
    assert not nothing.fixed[LATENTS].any() and not nothing.fixed[SHARES].any()
    assert not part.at(0).context(asked(A, sent), {}).fixed


def test_latents_written_out_again() -> None:
    latents = Latents(2, 3, 4, 5)
    w = latents.drawn(np.random.default_rng(1))
    assert w.size == latents.size == 3 * 6 + 3 + 3 + 5 * 3 + 5
    rng = np.random.default_rng(2)
    w = w + 0.1 * rng.standard_normal(w.size).astype(np.float32)
    z, y = rng.standard_normal((6, 2)).astype(np.float32), np.array([0, 1, 2, 3, 0, 1])
    h = np.concatenate([z, np.eye(4)[y]], 1) @ w[:18].reshape(3, 6).T
    h = (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5) * w[18:21] + w[21:24]
    wanted = np.maximum(h, 0) @ w[24:39].reshape(5, 3).T + w[39:]
    found = latents(torch.tensor(w), torch.tensor(z), torch.tensor(y))
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)


# -- the head in training, on every backend ------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny", "mlp", "text"])
@pytest.mark.parametrize("backend", ["loop", "lean", "stacked"])
def test_two_steps_of_a_client_written_out_again(name: str, backend: str) -> None:
    """In float64, against autograd on the loss as the paper has it, with the head as it stands at every step."""
    b = bed(name)
    at, network = b.layout, b.network
    weights = Latents(5, 7, at.classes, at.features).drawn(np.random.default_rng(0))
    sent = {GENERATOR: weights, SHAPE: np.array([5, 7]), ASKED: np.array([0.5, 0.5, 0, 0], np.float32)}
    local = Generative(steps=2, batch=100, lr=0.05, a=3.0, b=2.0, draws=4).at(3)
    found = b.train(local, backend, double=True, extras=sent).ends
    a, weight_b = local.a, local.b
    for client, end in found.items():
        order = dataclasses.replace(asked(client, sent), layout=at, start=b.start, streams=b.world().streams)
        z = torch.tensor(local.context(order, {}).fixed[LATENTS], dtype=torch.float64)
        x, y = b.held.train(client)
        x, y, w = torch.tensor(x), torch.tensor(y), torch.tensor(b.start, dtype=torch.float64)
        for _ in range(2):
            w = w.detach().requires_grad_()
            head, bias = (w[at.slices[n]].view(at.shapes[n]) for n in (at.head_weight, at.head_bias))
            said = z @ head.T + bias
            loss = torch.nn.functional.cross_entropy(network.forward(w, x)[0], y)
            for c in (0, 1):
                own = torch.nn.functional.cross_entropy(said[c], torch.full((4,), c))
                loss = loss + a * 0.5 * own
            t = said.softmax(-1).mean(1).detach()[y]
            q = network.forward(w, x)[0].log_softmax(1)
            loss = loss + weight_b * torch.nn.functional.kl_div(q, t, reduction="batchmean")
            w = w - 0.05 * torch.autograd.grad(loss, w)[0]
        np.testing.assert_allclose(end, w.detach().numpy(), atol=1e-9)


# -- the server ----------------------------------------------------------------------------------------


@pytest.mark.hand("fedgen")
def test_counts_are_the_weights() -> None:
    """Of a class one client holds 3 samples and the other 1: α = ¾, ¼, without the 1 that the code starts at."""
    assert group_weights("count", np.array([[3, 0], [1, 2]])).tolist() == [[0.75, 0.0], [0.25, 1.0]]


def merged(part: Consensus, memory: Agreed | None = None, **door: Any) -> Any:
    """A round of two clients whose heads differ (fakes: two classes, one feature, d = 6)."""
    at, start = world((A, B)), np.zeros(6, np.float32)
    ends = {A: np.array([0, 0, 1, -1, 0.5, 0], np.float32), B: np.array([0, 0, -2, 1, 0, 0.25], np.float32)}
    groups, order = Groups.one(at.census.ids), orders((A, B), start, round=2)
    came = answer(order, ends, at.layout, counts={A: (3, 0), B: (1, 2)}, **door)
    view = View(2, groups, start[None], start, None)
    memory = part.init(at, start, groups) if memory is None else memory
    return part.merge(at, memory, view, groups, order, came, common=True), memory, at, ends


def test_three_steps_of_the_server_written_out_again() -> None:
    part = Consensus(steps=3, batch=6, noise=2, hidden=4, lr=0.05, lr_decay=0.9, weight_decay=0.1, diversity=0.7)
    out, memory, at, ends = merged(part)
    latents = Latents(2, 4, 2, 1)
    rng, alpha = at.streams("consensus", 2), torch.tensor([[0.75, 0.0], [0.25, 1.0]])
    w, m, v = torch.tensor(memory.weights), torch.zeros(latents.size), torch.zeros(latents.size)
    for count in (1, 2, 3):
        y = torch.tensor(rng.choice(2, 6, p=[0.5, 0.5]))  # both classes are held by somebody: uniform
        z = torch.tensor(rng.standard_normal((6, 2), np.float32))
        w = w.detach().requires_grad_()
        made, loss = latents(w, z, y), torch.zeros(())
        for k, client in enumerate((A, B)):
            head, bias = torch.tensor(ends[client][2:4])[:, None], torch.tensor(ends[client][4:])
            said = torch.nn.functional.cross_entropy(made @ head.T + bias, y, reduction="none")
            loss = loss + (alpha[k][y] * said).mean()
        near = (made[:, None] - made[None]).abs().mean(2) * ((z[:, None] - z[None]) ** 2).mean(2)
        g = torch.autograd.grad(loss + 0.7 * torch.exp(-near.mean()), w)[0] + 0.1 * w.detach()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - 0.05 * 0.81 * m / (1 - 0.9**count) / (torch.sqrt(v / (1 - 0.999**count)) + 1e-8)
    np.testing.assert_allclose(out.memory.weights, w.detach().numpy(), atol=1e-4)
    assert np.abs(out.memory.weights - memory.weights).max() > 0.05
    assert out.memory.shares.tolist() == [0.5, 0.5]
    plain = Mean()
    start, groups = np.zeros(6, np.float32), Groups.one(at.census.ids)
    order = orders((A, B), start, round=2)
    view = View(2, groups, start[None], start, None)
    came = answer(order, ends, at.layout)
    mean = plain.merge(at, plain.init(at, start, groups), view, groups, order, came, common=True)
    assert np.array_equal(out.average, mean.average)


def test_what_goes_down() -> None:
    part = Consensus(steps=2, noise=3, hidden=5)
    out, memory, _, _ = merged(part)
    assert part.down(memory) == {}  # before it has seen clients
    sent = part.down(out.memory)
    assert sent[SHAPE].tolist() == [3, 5] and np.array_equal(sent[GENERATOR], out.memory.weights)
    found = run(rounds=3, method={"name": "fedgen", "steps": 2})
    layout = found.setup.world.layout
    more = 4 * Latents(32, 128, layout.classes, layout.features).size + 4 * layout.classes + 8 * 2
    down = [row["bytes_down"] for row in found.rows]
    assert down[2] - down[1] == 8 * more and down[3] == down[2]  # eight clients, from the second round on


def test_groups_heads_are_sums() -> None:
    """With groups' heads no single client is looked at: the door need not show one."""
    assert fedgen(form="groups").sight == {Sight.SUMS, Sight.LABELS}
    with pytest.raises(UserError, match="vectors"):
        refuse(fedgen(), Door("protected", PLAIN.offers - {Sight.VECTORS}), "fedgen")
    refuse(fedgen(form="groups"), Door("protected", PLAIN.offers - {Sight.VECTORS}), "fedgen")
    found = run(method={"name": "fedgen", "form": "groups", "grouping": {"kind": "random", "k": 3}})
    assert found.rows[3]["fedgen.heads"] == 3
    assert run(rounds=1, method={"name": "fedgen"}).rows[1]["fedgen.heads"] == 8


def test_starts_that_differ_have_no_single_heads() -> None:
    with pytest.raises(UserError, match='form = "groups"'):
        run(method={"name": "fedgen", "grouping": {"kind": "random", "k": 3}})


# -- identities ----------------------------------------------------------------------------------------


def test_without_weights_it_is_fedavg_bit_for_bit_though_the_generator_learns() -> None:
    plain = run(method={"name": "fedavg"})
    ours = run(method={"name": "fedgen", "steps": 2}, local={"epochs": 1, "batch": 20, "lr": 0.05, "a": 0.0, "b": 0.0})
    assert np.array_equal(ours.state.average, plain.state.average)
    assert ours.state.aggregate.shares.sum() == pytest.approx(1.0)


def test_the_first_round_and_a_server_without_steps_are_fedavg_too() -> None:
    for rounds, steps in ((1, 2), (3, 0)):
        plain = run(rounds=rounds, method={"name": "fedavg"}).state.average
        ours = run(rounds=rounds, method={"name": "fedgen", "steps": steps}).state.average
        np.testing.assert_allclose(ours, plain, atol=1e-6)
    assert fedgen(steps=0).sight == {Sight.SUMS}
    ours = run(method={"name": "fedgen"}).state.average
    assert not np.array_equal(ours, run(method={"name": "fedavg"}).state.average)


@pytest.mark.parametrize("given", [{"a": -1.0}, {"b": -1.0}, {"fade": 0.0}, {"draws": 0}])
def test_ranges(given: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(given))):
        Spec.of({"method": {"name": "fedgen"}, "local": given})
    with pytest.raises(UserError, match="form"):
        Spec.of({"method": {"name": "fedgen", "form": "heads"}})
