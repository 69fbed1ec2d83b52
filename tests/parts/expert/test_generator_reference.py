"""One iteration of a D-phase written out again, plainly, in probabilities: every term, every step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generator_bed import COUNTS, Linear, making, pair, vector, world

from disue.parts.expert.distil import Maker
from disue.parts.expert.generator import GeneratorDistil
from disue.parts.expert.labels import draw
from disue.parts.expert.phase import Pool

ROUND, B, T = 10, 8, 2.0
KEYS = {
    "iterations": 1, "generator_steps": 2, "student_steps": 2, "batch": B, "nz": 4, "width": 1, "void": 1.0,
    "generator_lr": 0.01, "student_lr": 0.3, "student_momentum": 0.5, "lr_decay": 0.9, "temperature": T,
    "generator_clip": 0.05, "student_clip": 0.2, "transfer": 3.0, "diversity": 0.7, "disagree": "none",
    "warmup": 5, "ramp": 10, "ema": 0.5, "ema_weight": 0.25, "ce": 0.1,
}  # fmt: skip
SEEN = torch.tensor([[True, True, False], [True, True, True]])
ALPHA = torch.tensor([[0.75, 0.25, 0.0], [0.25, 0.75, 1.0]])


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


class Twin:
    """Teachers (2, 10), average (10,) and student (10,) of the bed, as torch, with plain formulas."""

    def __init__(self, models, average):
        self.models, self.average = torch.tensor(models), torch.tensor(average)

    @staticmethod
    def f(model, x):
        return (x @ model[:6].view(3, 2).T + model[6:9]) * model[9]

    def p(self, model, x, temperature=T):
        return torch.softmax(self.f(model, x) / temperature, 1)

    def teacher(self, x, y):
        """Σ_g α p̂_g with the mask `anchor`: the first group never saw class 2."""
        a, first, second = (self.p(m, x) for m in (self.average, *self.models))
        known = first[:, :2] * (1 - a[:, 2:]) / (1 - first[:, 2:])
        return ALPHA[0, y][:, None] * torch.cat([known, a[:, 2:]], 1) + ALPHA[1, y][:, None] * second

    def generator_loss(self, x, z, y, student, strength):
        rows = torch.arange(B)
        said = torch.stack([-torch.log(self.p(m, x, 1.0))[rows, y] for m in self.models])
        t, q = self.teacher(x, y), self.p(student, x)
        transfer = -(t * torch.log(t / q)).sum() / B
        apart = (x[:, None] - x[None]).abs().mean(2)
        diversity = torch.exp(-(apart * ((z[:, None] - z[None]) ** 2).mean(2)).mean())
        return (ALPHA[:, y] * said).sum() / B + strength * (3.0 * transfer + 0.7 * diversity)


def shortened(gradient, norm):
    return gradient * min(1.0, norm / float(gradient.norm()))


def test_two_generator_steps_and_two_student_steps():
    models, average = pair()
    where, part = world(), GeneratorDistil(**KEYS)
    memory = part.init(where, average)
    older = memory.weights * np.float32(0.5) + np.float32(0.01)
    memory = type(memory)(memory.weights, older, memory.ledger)
    out = part.make(where, memory, making(models, COUNTS, average, round=ROUND))

    twin, fade = Twin(models, average), 0.9**ROUND
    rng = where.streams("dphase", ROUND)
    y = torch.tensor(draw(np.array([0.4, 0.4, 0.2]), B, rng))
    z = torch.tensor(rng.standard_normal((B, 4), np.float32))
    maker = Maker(part._module(where), memory.weights)
    first = second = torch.zeros(memory.weights.size)
    for step in (1, 2):
        loss = twin.generator_loss(maker(z, y), z, y, twin.average, strength=0.5)
        gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, maker.weights)])
        assert gradient.norm() > 0.05  # the clip bites
        gradient = shortened(gradient, 0.05)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        change = first / (1 - 0.9**step) / (torch.sqrt(second / (1 - 0.999**step)) + 1e-8)
        at = 0
        for weight in maker.weights:
            weight.data -= 0.01 * fade * change[at : at + weight.numel()].view_as(weight)
            at += weight.numel()
    expected = torch.cat([w.detach().reshape(-1) for w in maker.weights]).numpy()
    # Adam divides by the gradient's size: where that is rounding noise, only the first step's sign differs
    moved = np.abs(expected - memory.weights) > 0
    assert np.mean(np.abs(out.memory.weights - expected)[moved] < 1e-5) > 0.98
    assert out.memory.older == pytest.approx(0.5 * older + 0.5 * out.memory.weights, abs=1e-6)

    made = [Maker(part._module(where), weights)(z, y).detach() for weights in (out.memory.weights, older)]
    assert out.info.arrays["samples"] == pytest.approx(made[0].numpy(), abs=1e-6)
    student, velocity = twin.average.clone(), torch.zeros(10)
    for _ in range(2):
        theta = student.clone().requires_grad_()
        loss = 0.1 * -torch.log(twin.p(theta, made[0], 1.0))[torch.arange(B), y].mean()
        for x, weight in zip(made, (1.0, 0.25), strict=True):
            t, q = twin.teacher(x, y), twin.p(theta, x)
            loss = loss + weight * T**2 * (t * torch.log(t / q)).sum(1).mean()
        (gradient,) = torch.autograd.grad(loss, theta)
        gradient[9] = 0.0
        assert gradient.norm() > 0.2
        velocity = 0.5 * velocity + shortened(gradient, 0.2)
        student = student - 0.3 * fade * velocity
    assert out.expert == pytest.approx(student.numpy(), abs=1e-6)
    assert np.abs(out.expert - average).max() > 0.01


def test_discards_that_are_not_in_a_row_do_not_end_the_phase():
    class Stumbling(Linear):
        """Not finite in one pass of eight: with five steps on a batch of noise, in one step of five."""

        def forward(self, flat, inputs, train=False):
            logits, features = super().forward(flat, inputs, train)
            stumbles = self.calls > 3 and self.calls % 8 == 2
            return logits * (float("nan") if stumbles else 1.0), features

    models, average = pair()
    part = GeneratorDistil(source="noise", iterations=25, batch=8, void=1.0, disagree="none")
    where = world(Stumbling())
    out = part.make(where, part.init(where, average), making(models, COUNTS, average))
    assert out.info.values["dphase.discarded"] > 10
    assert "ten in a row" not in out.info.notes[0]
    assert where.network.calls >= 25 * 8


def test_real_inputs_are_drawn_with_their_labels():
    labels = np.array([2, 0, 1, 1, 2, 0, 2])
    public = np.stack([labels * 10.0, np.arange(7)], axis=1).astype(np.float32)
    pool = Pool.of(world(public=public, labels=labels))
    asked = np.repeat([0, 1, 2], 60)
    found = pool.pick(asked, np.random.default_rng(0))
    assert (found[:, 0] == asked * 10.0).all()
    assert set(found[:, 1].tolist()) == set(range(7))


def test_only_real_inputs_reach_the_models():
    class Watching(Linear):
        met: list[float]

        def forward(self, flat, inputs, train=False):
            self.met = [*self.met, *inputs[:, 1].tolist()]
            return super().forward(flat, inputs, train)

    network = Watching()
    network.met = []
    public, labels = np.array([[0.5, 7.0], [-0.5, 9.0]], np.float32), np.array([0, 1])
    where, (models, average) = world(network, public=public, labels=labels), pair()
    part = GeneratorDistil(source="real", batch=8, iterations=2)
    out = part.make(where, part.init(where, average), making(models, COUNTS, average))
    assert set(network.met) == {7.0, 9.0}
    assert (out.expert[:9] != average[:9]).any()
    assert out.memory.weights.size == 0


def test_one_class_teachers_under_the_anchor_teach_the_average():
    # each group holds one class: its completed teacher is the averaged model, so nothing is to be learnt
    models = [vector([[1, 0], [0, 1], [1, 1]]), vector([[0, 2], [1, 0], [0, 0]])]
    average = pair()[1]
    for mask, least, most in (("anchor", 0.0, 1e-5), ("shape", 1e-2, 99.0)):
        part = GeneratorDistil(batch=16, void=1.0, student_lr=1.0, mask=mask)
        where = world()
        out = part.make(where, part.init(where, average), making(models, [[9, 0, 0], [0, 5, 0]], average))
        assert least <= np.abs(out.expert - average).max() <= most
