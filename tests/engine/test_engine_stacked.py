"""Clients trained together end as they do one by one: one step in float32, whole rounds in float64."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from engine_bed import IDS, Erm, Phased, Step, bed
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine_backends import PARTS, SGD
from torch import nn

from disue.core.layout import HEAD
from disue.core.streams import Streams
from disue.engine.batches import Draws
from disue.engine.crew import Choice
from disue.engine.interface import Work
from disue.engine.stacked.forms import Grouped, Vmapped, form_of
from disue.engine.stacked.plan import cut, schedule
from disue.models.build import build
from disue.models.network import TorchNetwork
from disue.parts.local import LogitAdjusted

PARTS = {
    **PARTS,
    "adjusted": LogitAdjusted(epochs=2, batch=5, lr=0.1),
    "clipped": Phased((Step(replace(SGD, clip=0.1, momentum=0.5), pull=0.3, contrast="other"),)),
}


@pytest.mark.parametrize("name", ["mlp", "tiny", "sequence"])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("block", [2, 50])
def test_a_round_in_float64(name, part, block):
    b = bed(name)
    orders = b.orders(PARTS[part])
    loop, stacked = b.engine("loop", double=True), b.engine("stacked", double=True, block=block)
    a, c = loop.answer(b.world(), orders), stacked.answer(b.world(), orders)
    assert c.notes == ()
    for client in IDS:
        assert np.abs(a.ends[client] - b.start).max() > 1e-4
        np.testing.assert_allclose(c.ends[client], a.ends[client], rtol=0, atol=1e-9)
        for key, value in loop.memory.get(client).items():
            np.testing.assert_allclose(stacked.memory.get(client)[key], value, rtol=0, atol=1e-9)
        assert c.losses[client] == pytest.approx(a.losses[client], abs=1e-9)
    assert c.steps == a.steps


MODELS = {
    "tiny": ("tiny", (1, 8, 8), {}),
    "lenet": ("lenet", (3, 32, 32), {}),
    "cnn": ("cnn", (3, 12, 8), {}),
    "mlp": ("mlp", (2, 3), {"hidden": (7, 5)}),
    "linear": ("mlp", (6,), {"hidden": ()}),
    "resnet8": ("resnet8", (3, 8, 8), {"width": 8}),
    "cnn1d": ("cnn1d", (2, 20), {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_without_batch_statistics_has_a_grouped_form(name):
    model, shape, keys = MODELS[name]
    network = TorchNetwork(build(model, shape, 4, 3, **keys), shape, "vector" if len(shape) == 1 else "image")
    if len(shape) == 2:
        network = TorchNetwork(build(model, shape, 4, 3, **keys), shape, "sequence")
    assert isinstance(form_of(network), Grouped)


class Odd(nn.Module):
    """A weight of its own, outside any layer that is known."""

    def __init__(self):
        super().__init__()
        self.scale, self.head = nn.Parameter(torch.ones(5)), nn.Linear(5, 4)

    def features(self, inputs):
        return torch.tanh(inputs * self.scale)

    def forward(self, inputs):
        return self.head(self.features(inputs))


def test_a_module_of_a_users_own_runs_under_vmap():
    b = bed("linear")
    torch.manual_seed(1)
    b = type(b)(Odd(), (5,), b.held, "vector")
    assert isinstance(form_of(b.network), Vmapped)
    for part in (PARTS["rich"], PARTS["alternating"], Phased((Step(SGD, trains=HEAD),)), PARTS["contrast"]):
        loop, stacked = (b.train(part, backend, double=True) for backend in ("loop", "stacked"))
        assert stacked.notes == ()
        for client in IDS:
            np.testing.assert_allclose(stacked.ends[client], loop.ends[client], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "word"), [("normed", "BatchNorm"), ("dropping", "BatchNorm")])
def test_what_cannot_be_stacked_runs_lean_and_says_why(name, word):
    b = bed(name)
    uploads, lean = b.train(PARTS["plain"], "stacked"), b.train(PARTS["plain"], "lean")
    assert len(uploads.notes) == 1 and "lean instead of stacked" in uploads.notes[0] and word in uploads.notes[0]
    assert all(np.array_equal(uploads.ends[i], lean.ends[i]) for i in IDS)


def test_a_recurrent_network_runs_under_vmap():
    b = bed("text")
    assert isinstance(form_of(b.network), Vmapped)
    loop, stacked = (b.train(PARTS["rich"], backend, double=True) for backend in ("loop", "stacked"))
    assert stacked.notes == ()
    for client in IDS:
        np.testing.assert_allclose(stacked.ends[client], loop.ends[client], rtol=0, atol=1e-9)


def test_dropout_is_noticed_without_its_layer():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(5, 4)

        def features(self, inputs):
            return nn.functional.dropout(inputs, 0.5, self.training)

        def forward(self, inputs):
            return self.head(self.features(inputs))

    b = bed("linear")
    b = type(b)(Noisy(), (5,), b.held, "vector")
    assert "random" in b.train(PARTS["plain"], "stacked").notes[0]


def test_a_loss_that_is_no_mean_over_samples_runs_lean():
    @dataclass(frozen=True)
    class Spread(Step):
        separable: bool = False

        def loss(self, forward, batch, context):
            logits, _ = forward(batch.inputs)
            return logits.std() + nn.functional.cross_entropy(logits, batch.labels)

    b = bed("mlp")
    uploads = b.train(Phased((Spread(),)), "stacked")
    assert "Spread" in uploads.notes[0] and "mean over samples" in uploads.notes[0]
    lean = b.train(Phased((Spread(),)), "lean")
    assert all(np.array_equal(uploads.ends[i], lean.ends[i]) for i in IDS)


@pytest.mark.parametrize("name", ["tiny", "mlp", "sequence"])
def test_one_step_in_float32(name):
    b = bed(name)
    local = Erm(steps=1, batch=5, lr=0.1)
    a, c = b.train(local, "loop"), b.train(local, "stacked")
    for client in IDS:
        assert c.ends[client].dtype == np.float32
        error = np.abs(c.ends[client] - a.ends[client])
        assert (error <= 1e-5 * np.maximum(1, np.abs(a.ends[client]))).all()


def test_a_client_that_has_finished_moves_no_more():
    """With momentum and weight decay, and a neighbour that trains on: equal to the client alone, to rounding."""
    b = bed("mlp", sizes={4001: 2, 17: 40, 902: 1})
    local = Erm(epochs=3, batch=4, lr=0.1, momentum=0.9, weight_decay=0.1)
    together = b.train(local, "stacked", double=True)
    assert together.steps == {17: 30, 902: 3, 4001: 3}
    for client in IDS:
        alone = b.train(local, "stacked", double=True, ids=(client,))
        np.testing.assert_allclose(together.ends[client], alone.ends[client], rtol=0, atol=1e-12)


def test_the_same_bits_again_in_another_order_and_after_other_work():
    b = bed("tiny")
    engine = b.engine("stacked", block=2)
    first = engine.answer(b.world(), b.orders(PARTS["rich"])).ends
    engine.answer(b.world(), b.orders(PARTS["two vectors"], round=5))
    again = engine.answer(b.world(), b.orders(PARTS["rich"], ids=IDS[::-1])).ends
    assert all(np.array_equal(first[i], again[i]) for i in IDS)


def test_augmented_batches_are_those_of_the_loop():
    b = bed("tiny")
    orders = b.orders(Erm(epochs=2, batch=5, lr=0.1))
    ends = [
        b.engine(backend, augment=("flip", "crop"), double=True).answer(b.world(), orders).ends
        for backend in ("loop", "stacked")
    ]
    for client in IDS:
        np.testing.assert_allclose(ends[0][client], ends[1][client], rtol=0, atol=1e-9)


def test_a_number_that_is_none_stays_with_its_client():
    b = bed("mlp")
    bad = b.start.copy()
    bad[0] = np.nan
    which = np.array([[0], [1], [0]])
    uploads = b.train(PARTS["plain"], "stacked", starts=np.stack([b.start, bad]), which=which)
    assert list(uploads.dropped) == [17] and uploads.ids.tolist() == [902, 4001]
    assert np.array_equal(uploads.ends[902], b.train(PARTS["plain"], "stacked").ends[902])


@given(st.dictionaries(st.integers(0, 10**9), st.integers(1, 60), min_size=1, max_size=12), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_blocks_hold_everybody_once_the_longest_first(sizes, block):
    local = Erm(epochs=2, batch=7)
    blocks = cut(local, sizes, block)
    order = [i for one in blocks for i in one]
    assert sorted(order) == sorted(sizes) and all(len(one) == block for one in blocks[:-1])
    steps = [-(-sizes[i] // 7) for i in order]
    assert steps == sorted(steps, reverse=True)
    assert cut(local, dict(reversed(sizes.items())), block) == blocks


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 9), st.integers(0, 11))
@settings(max_examples=60, deadline=None)
def test_a_schedule_is_every_clients_own_batches(sizes, batch, steps):
    sizes = sorted(sizes, reverse=True)
    sgd = replace(SGD, batch=batch, steps=steps)
    work = Work(bed("linear").network, Streams(1), "batches", 2)
    firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist()
    found = schedule([Draws(work, i) for i in range(len(sizes))], "model", sgd, sizes, firsts)
    for client, size in enumerate(sizes):
        own = [
            (order[piece] + firsts[client]).tolist()
            for order, cuts in Draws(work, client).passes("model", size, sgd, 1)
            for piece in cuts
        ]
        seen = [
            found.rows[t, client, : found.sizes[t, client]].tolist()
            for t in range(len(found.active))
            if found.sizes[t, client]
        ]
        assert seen == own
    for t, active in enumerate(found.active):
        assert (found.sizes[t, :active] > 0).all() and not found.sizes[t, active:].any()


def test_a_choice_says_itself():
    assert str(Choice("stacked", 25, "measured", {"lean": 80.2, "stacked": 12.1})) == (
        "stacked, 25 clients at once (measured: µs a sample: stacked 12, lean 80)"
    )
