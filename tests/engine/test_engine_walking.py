"""Phases that say their steps themselves: a plain step said that way is the plain phase; which samples a step takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from engine_bed import IDS, SIZES, Bed, bed
from torch import Tensor

from disue.core.clients import Phase, Sgd, Step
from disue.core.layout import HEAD, WHOLE, Part
from disue.engine.batches import Draws
from disue.engine.interface import Work
from disue.parts.local import Erm
from disue.parts.local.erm import Fit


@dataclass(frozen=True)
class PlainStep(Fit):
    batches: ClassVar[int] = 1
    gradients: ClassVar[int] = 1

    def walk(self, step: Step, context: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"model": step.along("model", step.slope(context["model"]))}


@dataclass(frozen=True)
class Plain(Erm):
    """`Erm`, said as a plain phase or as one that walks."""

    walks: bool = False
    trains: Part = WHOLE

    @property
    def phases(self) -> tuple[Phase, ...]:
        return ((PlainStep if self.walks else Fit)(self.sgd, self.loss, trains=self.trains),)


GIVEN: Mapping[str, Any] = {"epochs": 2, "batch": 5, "lr": 0.2}
RICH = {**GIVEN, "momentum": 0.5, "weight_decay": 0.1, "clip": 0.5}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", ["tiny", "normed", "dropping", "text"])
@pytest.mark.parametrize("trains", [WHOLE, HEAD], ids=["whole", "head"])
@pytest.mark.parametrize("settings", [GIVEN, RICH], ids=["plain", "rich"])
def test_a_plain_step_said_by_itself_is_the_plain_phase(name: str, trains: Part, settings: dict[str, Any]) -> None:
    b = bed(name)
    plain = b.train(Plain(**settings, trains=trains), backend="loop")
    walked = b.train(Plain(**settings, trains=trains, walks=True), backend="loop")
    lean = b.train(Plain(**settings, trains=trains, walks=True), backend="lean", double=True)
    double = b.train(Plain(**settings, trains=trains), backend="loop", double=True)
    for client in IDS:
        assert np.array_equal(walked.ends[client], plain.ends[client])  # statistics of BatchNorm among them
        np.testing.assert_allclose(lean.ends[client], double.ends[client], atol=1e-9)
    assert walked.steps == plain.steps == lean.steps
    for client in IDS:
        assert walked.losses[client] == pytest.approx(plain.losses[client], rel=1e-6)


@pytest.mark.parametrize("backend", ["stacked", "native"])
def test_other_backends_leave_it_to_lean_and_say_why(backend: str) -> None:
    b = bed("tiny")
    uploads = b.train(Plain(**GIVEN, walks=True), backend=backend)
    assert any("lean" in note and "more than one gradient" in note for note in uploads.notes)
    lean = b.train(Plain(**GIVEN, walks=True), backend="lean")
    assert all(np.array_equal(uploads.ends[i], lean.ends[i]) for i in IDS)


def test_workers_give_the_same_bits() -> None:
    b = bed("tiny")
    local = Plain(**GIVEN, walks=True)
    with b.engine("lean", workers=2) as engine:
        uploads = engine.answer(b.world(), b.orders(local))
    alone = b.train(local)
    assert all(np.array_equal(uploads.ends[i], alone.ends[i]) for i in IDS)


def draws(b: Bed, client: int) -> Draws:
    return Draws(Work(b.network, b.world().streams, "batches", 3), client)


@pytest.mark.parametrize("client", IDS)
def test_one_batch_a_step_is_a_pass(client: int) -> None:
    b, sgd = bed("mlp"), Sgd(epochs=2, batch=5)
    n = SIZES[client]
    ours = [rows for (rows,) in draws(b, client).steps("model", n, sgd, 1, 1)]
    theirs = [order[cut] for order, cuts in draws(b, client).passes("model", n, sgd, 1) for cut in cuts]
    assert len(ours) == len(theirs) and all(np.array_equal(a, c) for a, c in zip(ours, theirs, strict=True))


def test_batches_of_a_step_are_the_next_ones_of_the_pass() -> None:
    b, sgd = bed("mlp"), Sgd(epochs=1, batch=5)
    ((order, cuts),) = draws(b, 17).passes("model", 23, sgd, 1)
    batches = [order[cut].tolist() for cut in cuts]  # of 5, 5, 5, 5, 3
    assert [len(one) for one in batches] == [5, 5, 5, 5, 3]
    pairs = [[rows.tolist() for rows in step] for step in draws(b, 17).steps("model", 23, sgd, 1, 2)]
    assert pairs == [batches[:2], batches[2:4]]
    threes = [[rows.tolist() for rows in step] for step in draws(b, 17).steps("model", 23, sgd, 1, 3)]
    assert threes == [batches[:3]]


def test_exactly_so_many_steps() -> None:
    b = bed("mlp")
    assert len(list(draws(b, 17).steps("model", 23, Sgd(steps=5, batch=5), 1, 2))) == 5
    assert len(list(draws(b, 17).steps("model", 23, Sgd(epochs=0, batch=5), 1, 2))) == 0


@pytest.mark.parametrize(
    ("n", "least", "sizes"), [(7, 1, [4, 3]), (3, 1, [2, 1]), (1, 1, [1, 1]), (5, 2, [3, 2]), (3, 2, [3, 3])]
)
def test_a_pass_too_short_for_a_step_is_shared_out(n: int, least: int, sizes: list[int]) -> None:
    (step,) = draws(bed("mlp"), 17).steps("model", n, Sgd(epochs=1, batch=10), least, 2)
    assert [rows.size for rows in step] == sizes
    assert set(np.concatenate(step).tolist()) == set(range(n))  # nobody is left out


def test_what_it_costs_is_counted() -> None:
    from disue.engine.cost import passes
    from disue.parts.local import Meta, Moreau

    sizes = {17: 20}
    plain = passes(Erm(epochs=1, batch=5), sizes)
    assert passes(Moreau(epochs=1, batch=5, inner=4), sizes) == 4 * plain
    assert passes(Meta(epochs=1, batch=5), sizes) == plain
    assert passes(replace(Meta(epochs=1, batch=5), order="hessian-free"), sizes) == pytest.approx(4 / 3 * plain)
