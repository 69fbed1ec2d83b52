"""Models of the clients' own: numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from disue.core.clients import Order, personal_of
from disue.core.groups import Groups
from disue.core.layout import BODY, HEAD, Layout
from disue.core.method import View
from disue.core.orders import Report, Sight
from disue.models.build import build
from disue.parts.aggregate import Mean
from disue.parts.local import Erm, FineTuned, HeadFirst, PrivateNorm, PrivatePart
from engine.engine_bed import Bed, Held
from fakes import answer, layout, orders, vec, world

IDS = (17, 902)


def order(client: int, start: np.ndarray, of: Layout) -> Order:
    return Order(client, 0, start, start[None], 0, np.ones(1), {}, 1, np.array([1, 0]), of)


def served(part: Any, ends: dict[int, np.ndarray], start: np.ndarray, of: Layout, sizes: dict[int, int]) -> Any:
    """(what each client keeps, the server's model) after both have trained to `ends`."""
    kept, up = {}, {}
    for client, end in ends.items():
        asked = order(client, start, of)
        done = part.finish({"model": end}, 1, part.context(asked, {}), asked)
        kept[client], up[client] = dict(done.memory), done.end
    at, groups = world(IDS, start.size), Groups.one(np.array(IDS))
    asked_of_all, before = orders(IDS, start), View(0, groups, start[None], start, None)
    mean = Mean()
    came = answer(asked_of_all, up, of, sizes)
    merged = mean.merge(at, mean.init(at, start, groups), before, groups, asked_of_all, came, common=True)
    return kept, merged.average


@pytest.mark.hand("fedper", "fedrep")
@pytest.mark.parametrize("part", [PrivatePart(), HeadFirst()], ids=["fedper", "fedrep"])
def test_bodies_are_averaged_and_heads_stay(part: Any) -> None:
    """Body of two, head of four, samples 1 and 3: bodies (2, 4) and (4, 0) make (14 / 4, 1); heads go nowhere."""
    of, start = layout(6), vec(0, 0, 1, 1, 1, 1)
    ends = {17: vec(2, 4, 5, 6, 7, 8), 902: vec(4, 0, 9, 9, 9, 9)}
    kept, average = served(part, ends, start, of, {17: 1, 902: 3})
    assert average.tolist() == [3.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    again = part.context(order(17, average, of), kept[17]).trained["model"]
    assert again.tolist() == [3.5, 1.0, 5.0, 6.0, 7.0, 8.0]


@pytest.mark.hand("fedrep")
def test_of_five_epochs_four_are_the_heads() -> None:
    head, body = HeadFirst(epochs=5, body_epochs=1).phases
    assert (head.sgd.epochs, head.trains, body.sgd.epochs, body.trains) == (4, HEAD, 1, BODY)


@pytest.mark.hand("fedbn")
def test_batch_normalisation_stays() -> None:
    """The last of six entries is a running mean: 17 keeps 8 and gets 8 back, the server's stays 1."""
    of, start = layout(6, statistics=1), vec(0, 1, 1, 1, 1, 1)
    ends = {17: vec(2, 3, 3, 3, 3, 8), 902: vec(4, 5, 5, 5, 5, 9)}
    kept, average = served(PrivateNorm(), ends, start, of, {17: 1, 902: 1})
    assert average.tolist() == [3.0, 4.0, 4.0, 4.0, 4.0, 1.0]
    again = PrivateNorm().context(order(17, average, of), kept[17]).trained["model"]
    assert again.tolist() == [3.0, 4.0, 4.0, 4.0, 4.0, 8.0]


def square(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """½‖logits − 1‖², which on inputs of zero is ½‖biases − 1‖²."""
    out: torch.Tensor = 0.5 * (logits - 1).square().sum(1).mean()
    return out


STEP: dict[str, Any] = {"lr": 0.5, "batch": 100, "epochs": 1, "loss": f"{__name__}:square"}
SUMS = Report(sight=frozenset({Sight.SUMS}))


def flat() -> Bed:
    """A linear model of 20 weights and 4 biases, on inputs of zero."""
    torch.set_num_threads(1)
    data = {client: (np.zeros((3, 5), np.float32), np.zeros(3, np.int64)) for client in IDS}
    return Bed(build("mlp", (5,), 4, 3, hidden=()), (5,), Held(data), "vector")


@pytest.mark.hand("local")
def test_a_client_goes_on_from_its_own_end() -> None:
    """0 → ½ → ¾ by halves of the way to 1, whatever the server sends in between; who is absent stays at ½."""
    b = flat()
    engine, zero = b.engine(), np.zeros((1, 24), np.float32)
    for round, (ids, sent, expected) in enumerate(((IDS, 0.0, 0.5), ((17,), 7.0, 0.75), (IDS, 7.0, 0.875))):
        asked = b.orders(Erm(**STEP), ids, starts=zero + np.float32(sent), own=True, round=round, report=SUMS)
        ends = engine.answer(b.world(), asked).ends
        assert ends[17][20:].tolist() == [expected] * 4
    assert ends[902][20:].tolist() == [0.75] * 4


@pytest.mark.hand("fedavg-ft")
def test_two_epochs_of_fine_tuning_begin_anew_every_time() -> None:
    """Received 0: ½, then ¾. Received 3: 2, then 3/2; nothing is left of the time before."""
    b = flat()
    engine, part = b.engine(), FineTuned(**STEP, tuning=2)
    for received, expected in ((0.0, 0.75), (3.0, 1.5), (0.0, 0.75)):
        starts = np.full((1, 24), received, np.float32)
        asked = b.orders(personal_of(part), IDS, starts=starts, stream="personal", report=Report())
        assert engine.answer(b.world(), asked).ends[902][20:].tolist() == [expected] * 4
