"""The student alone: linear softmax models on Gaussians, the generator replaced by the true sampler."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generator_bed import Linear, making, vector, world

from disue.parts.expert.generator import GeneratorDistil

CENTRES = np.array([[2.0, 0.0], [-1.0, 1.5], [-1.0, -1.5]])


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def sampler(amount=3000):
    rng = np.random.default_rng(8)
    labels = np.arange(amount) % 3
    return (CENTRES[labels] + rng.normal(size=(amount, 2))).astype(np.float32), labels


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def logits(model, x):
    return x @ model[:6].reshape(3, 2).T.astype(np.float64) + model[6:9]


def divergence(teachers, alpha, student, x, mixture):
    if mixture == "probability":
        t = np.einsum("g,gbc->bc", alpha, softmax(np.stack([logits(m, x) for m in teachers])))
    else:
        t = softmax(np.einsum("g,gbc->bc", alpha, np.stack([logits(m, x) for m in teachers])))
    return (t * np.log(t / softmax(logits(student, x)))).sum(1).mean()


@pytest.mark.parametrize("mixture", ["probability", "logit"])
def test_the_student_reaches_the_mixture_teacher(mixture):
    public, labels = sampler()
    rng = np.random.default_rng(1)
    teachers = np.stack([vector(CENTRES + 0.2 * rng.normal(size=(3, 2)), bias) for bias in ([-2, 0, 0], [-1, 0, 1])])
    average = vector(rng.normal(size=(3, 2)), [0.5, -1, 0])  # far away: there is something to learn
    counts = [[30, 30, 30], [10, 10, 10]]  # α = (¾, ¼) for every class
    part = GeneratorDistil(
        source="real", mixture=mixture, mask="none", iterations=400, student_steps=2, fresh_batches=True,
        student_lr=0.5, student_momentum=0.5, student_clip=10.0, lr_decay=1.0,
    )  # fmt: skip
    where = world(Linear(), public=public, labels=labels)
    out = part.make(where, part.init(where, average), making(teachers, counts, average))
    before = divergence(teachers, (0.75, 0.25), average, public, mixture)
    after = divergence(teachers, (0.75, 0.25), out.expert, public, mixture)
    assert before > 0.3
    assert after < 1e-3
    assert out.info.values["dphase.kl"] < 5e-3


def test_the_generator_moves_the_student_towards_the_teachers():
    public, _ = sampler()
    teachers = np.stack([vector(CENTRES, [-2, 0, 0]), vector(CENTRES, [-1, 0, 1])])
    average = vector(0.3 * CENTRES)
    part = GeneratorDistil(iterations=60, batch=32, nz=8, width=2, mask="none", student_lr=0.1, warmup=0, ramp=0)
    where = world(Linear())
    out = part.make(where, part.init(where, average), making(teachers, [[30] * 3, [10] * 3], average))
    before, after = (divergence(teachers, (0.75, 0.25), m, public, "probability") for m in (average, out.expert))
    assert after < 0.5 * before
