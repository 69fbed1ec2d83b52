"""DFRD: mixed logits, a mask that asks for the label too, and a generator that is remembered over rounds."""

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
from disue.methods import dfrd
from disue.parts.expert import losses
from disue.parts.expert.distil import Maker
from disue.parts.expert.generator import conditional
from disue.parts.expert.labels import draw
from disue.parts.expert.singles import ends
from disue.runs.spec import Spec
from fakes import FakeUploads
from parts.expert.generator_bed import Linear, pair, world

IDS = (17, 902)
COUNTS = {17: (30, 10, 0), 902: (10, 30, 20)}
KEYS: dict[str, Any] = {
    "iterations": 1, "generator_steps": 2, "student_steps": 2, "batch": 12, "nz": 3, "width": 1,
    "generator_lr": 0.02, "student_lr": 0.3, "lr_decay": 0.9, "transfer": 2.0, "diversity": 0.6,
    "generator_clip": 1e6, "student_clip": 1e6,
}  # fmt: skip
SMALL: dict[str, Any] = {"iterations": 1, "student_steps": 2, "batch": 16, "nz": 4, "width": 2}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def making(round: int, average: np.ndarray | None = None) -> Making:
    models, middle = pair()
    average = middle if average is None else average
    door = FakeUploads(dict(zip(IDS, models, strict=True)), average, Linear().layout, counts=COUNTS)
    groups = Groups.one(np.array(IDS))
    view = View(round, groups, average[None], average, None)
    return Making(round, average, view, groups, average[None], average, door)


@pytest.mark.hand("dfrd")
def test_who_is_set_against_the_student_by_hand() -> None:
    """Asked (0, 0, 0, 1): clients name (0, 0, 1, 1), the student (1, 0, 0, 1). Only the first is contested."""

    def names(*classes: int) -> torch.Tensor:
        return (5.0 * torch.nn.functional.one_hot(torch.tensor(classes), 2).float()).log_softmax(1)

    clients, student = names(0, 0, 1, 1), names(1, 0, 0, 1)
    mask = losses.contested("disagree-correct", clients, student, torch.tensor([0, 0, 0, 1]))
    assert mask.tolist() == [1.0, 0.0, 0.0, 0.0]
    p = float(torch.tensor([5.0, 0.0]).softmax(0)[0])
    assert float(losses.transferability(clients, student, mask)) == pytest.approx(-(5 * p - 5 * (1 - p)) / 4, rel=1e-5)


def test_two_rounds_written_out_again() -> None:
    at, part = world(), Spec.of({"method": {"name": "dfrd", "expert": KEYS}}).build().expert
    start = making(0).average
    first = part.make(at, part.init(at, start), making(0))
    second = part.make(at, first.memory, making(1, first.expert))

    clients = [torch.tensor(end) for end in ends(making(0))]
    alpha = torch.tensor([[0.75, 0.25, 0.0], [0.25, 0.75, 1.0]])

    def f(w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (x @ w[:6].view(3, 2).T + w[6:9]) * w[9]

    def mixed(x: torch.Tensor, y: torch.Tensor, *, normal: bool = True) -> torch.Tensor:
        """Σ_k τ_k^y of the clients' log-probabilities, or of their logits: both have one softmax."""
        said = [f(w, x).log_softmax(1) if normal else f(w, x) for w in clients]
        return sum(alpha[k][y][:, None] * one for k, one in enumerate(said))

    maker = Maker(conditional(at, 3, 1), part.init(at, start).weights)
    older: np.ndarray | None = None
    theta, contested = torch.tensor(start), 0
    for round, out in ((0, first), (1, second)):
        rng, fade = at.streams("dphase", round), 0.9**round
        y = torch.tensor(draw(np.array([0.4, 0.4, 0.2]), 12, rng))
        z = torch.tensor(rng.standard_normal((12, 3), np.float32))
        m = v = torch.zeros(sum(maker.sizes))
        for count in (1, 2):
            x = maker(z, y)
            log_t, log_q = mixed(x, y).log_softmax(1), f(theta, x).log_softmax(1)
            ask = torch.nn.functional.cross_entropy(mixed(x, y, normal=False), y)
            mask = (log_t.argmax(1) != log_q.argmax(1)) & (log_t.argmax(1) == y)
            contested += int(mask.sum())
            transfer = -(mask.float() * (log_t.exp() * (log_t - log_q)).sum(1)).mean()
            near = (x[:, None] - x[None]).abs().mean(2) * ((z[:, None] - z[None]) ** 2).mean(2)
            loss = ask + 2.0 * transfer + 0.6 * torch.exp(-near.mean())
            g = torch.cat([one.reshape(-1) for one in torch.autograd.grad(loss, maker.weights)])
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            step = m / (1 - 0.9**count) / (torch.sqrt(v / (1 - 0.999**count)) + 1e-8)
            for tensor, piece in zip(maker.weights, maker.pieces(step), strict=True):
                tensor.data -= 0.02 * fade * piece
        made = [(maker(z, y).detach(), 1.0)]
        if older is not None:
            made.append((Maker(conditional(at, 3, 1), older)(z, y).detach(), 0.5))
        for _ in range(2):
            w = theta.clone().requires_grad_()
            loss = torch.zeros(())
            for x, weight in made:
                log_t, log_q = mixed(x, y).log_softmax(1), f(w, x).log_softmax(1)
                loss = loss + weight * (log_t.exp() * (log_t - log_q)).sum(1).mean()
            (g,) = torch.autograd.grad(loss, w)
            g[9] = 0.0
            theta = theta - 0.3 * fade * g
        np.testing.assert_allclose(out.expert, theta.numpy(), atol=2e-5)
        weights = out.memory.weights
        older = weights if older is None else 0.5 * older + 0.5 * weights
        np.testing.assert_allclose(out.memory.older, older, atol=1e-6)
        older = out.memory.older
    assert contested > 0 and np.abs(second.expert - first.expert).max() > 0.01


@pytest.mark.hand("dfrd")
def test_the_memory_by_hand() -> None:
    """λ = ¾: w̃₀ = w₀, then w̃₁ = ¾ w₀ + ¼ w₁, w̃₂ = ¾ w̃₁ + ¼ w₂; λ = 0 keeps none."""
    at = world()
    for ema in (0.75, 0.0):
        part = Spec.of({"method": {"name": "dfrd", "ema": ema, "expert": KEYS}}).build().expert
        memory, wanted = part.init(at, making(0).average), None
        for round in range(3):
            memory = part.make(at, memory, making(round)).memory
            wanted = memory.weights if wanted is None else 0.75 * wanted + 0.25 * memory.weights
            assert memory.older.size == (wanted.size if ema else 0)
            if ema:
                np.testing.assert_allclose(memory.older, wanted, atol=1e-6)


def experts(**method: Any) -> np.ndarray:
    return np.asarray(run(method={"name": "dfrd", "expert": SMALL, **method}).state.expert)


def test_a_memory_without_weight_is_no_memory() -> None:
    assert np.array_equal(experts(ema=0.5, ema_weight=0.0), experts(ema=0.0))
    assert not np.array_equal(experts(ema=0.5, ema_weight=1.0), experts(ema=0.0))


def test_no_iterations_are_fedavg_bit_for_bit() -> None:
    plain = run(method={"name": "fedavg"}).state.average
    still = run(method={"name": "dfrd", "iterations": 0}).state
    assert np.array_equal(still.average, plain) and np.array_equal(still.expert, plain)


def test_the_score_of_the_teachers_is_of_mixed_logits() -> None:
    found = run(rounds=1, method={"name": "dfrd", "expert": SMALL}, evaluate={"every": 1})
    setup = found.setup
    x, y = setup.federation.pool()
    counts = np.stack([setup.federation.label_counts(i) for i in sorted(setup.ids.tolist())])
    alpha = counts / np.maximum(counts.sum(0), 1)
    vectors = [found.ends[i] for i in sorted(setup.ids.tolist())]
    said = np.stack([setup.world.network.logits(v, x).astype(np.float64) for v in vectors])
    said -= np.log(np.exp(said).sum(2, keepdims=True))
    right = 100 * float(((alpha[:, None, :] * said).sum(0).argmax(1) == y).mean())
    assert found.rows[1]["teachers_global"] == pytest.approx(right, abs=0.5)  # ends are rounded on their way


def test_what_it_needs() -> None:
    with pytest.raises(UserError, match="vectors"):
        refuse(dfrd(), Door("protected", PLAIN.offers - {Sight.VECTORS}), "dfrd")
    with pytest.raises(UserError, match="ema"):
        Spec.of({"method": {"name": "dfrd", "ema": 1.0}})
