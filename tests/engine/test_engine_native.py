"""Compiled training ends as the loop does: one step in float32, whole rounds in float64."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from engine_bed import IDS, Bed, Phased, Step, bed, clients
from torch import nn

from disue.core.clients import Sgd
from disue.core.layout import BODY, HEAD, Part
from disue.engine.native.library import Unavailable, library
from disue.models.build import build
from disue.parts.local import Controlled, Erm, LogitAdjusted
from disue.parts.local.controlled import SHIFT, ControlledFit
from disue.parts.local.erm import Fit

try:
    library("float"), library("double")
    why = ""
except Unavailable as error:
    why = str(error)
pytestmark = pytest.mark.skipif(bool(why), reason=f"no compiled code: {why}")

SGD = Sgd(lr=0.1, epochs=2, batch=5)


@dataclass(frozen=True)
class Pulled(Fit):
    """`Fit` pulled towards the received start."""

    pull_by: float = 0.5

    def correct(self, gradient, weights, context):
        return gradient + self.pull_by * (weights - context["anchor"])


@dataclass(frozen=True)
class Declared(Pulled):
    """The same, said in the form that is compiled."""

    def correct(self, gradient, weights, context):
        return super().correct(gradient, weights, context)

    def pull(self, context):
        return self.pull_by, -self.pull_by * context["anchor"]


@dataclass(frozen=True)
class Silent(Fit):
    """A `correct` that leaves the gradient as it is."""

    def correct(self, gradient, weights, context):
        return None


PARTS = {
    "plain": Erm(epochs=2, batch=5, lr=0.1),
    "wide": Erm(epochs=2, batch=23, lr=0.1),
    "alone": Erm(epochs=1, batch=1, lr=0.05),
    "steps": Erm(steps=7, batch=5, lr=0.1),
    "rich": Erm(epochs=2, batch=5, lr=0.1, momentum=0.9, weight_decay=0.01, clip=0.5),
    "adjusted": LogitAdjusted(epochs=2, batch=5, lr=0.1),
    "controlled": Controlled(epochs=2, batch=5, lr=0.1, weight_decay=0.01),
    "pulled": Phased((Pulled(replace(SGD, clip=0.5, momentum=0.5)),)),
    "declared": Phased((Declared(replace(SGD, clip=0.5, momentum=0.5, weight_decay=0.1)),)),
    "silent": Phased((Silent(SGD),)),
    "head": Phased((Fit(SGD, trains=HEAD),)),
    "body": Phased((Fit(replace(SGD, weight_decay=0.1, momentum=0.9), trains=BODY),)),
    "biases": Phased((Pulled(SGD, trains=Part.of("*.bias")),)),
    "alternating": Phased((Fit(SGD, trains=HEAD), Fit(replace(SGD, momentum=0.5), trains=BODY))),
    "two vectors": Phased((Fit(SGD), Pulled(SGD, vector="personal")), second=True),
}
MODELS = {
    "mlp": ("mlp", (2, 3), {"hidden": (7, 5)}),
    "linear": ("mlp", (5,), {"hidden": ()}),
    "tiny": ("tiny", (1, 8, 8), {}),
    "cnn": ("cnn", (3, 13, 10), {}),
    "lenet": ("lenet", (3, 32, 32), {}),
    "fedavg": ("fedavg-cnn", (1, 12, 8), {"hidden": 20}),
}
SIZES = {4001: 1, 17: 23, 902: 12}


def made(name):
    model, shape, keys = MODELS[name]
    kind = "vector" if len(shape) < 3 else "image"
    return Bed(build(model, shape, 4, 3, **keys), shape, clients(shape, sizes=SIZES), kind)


def same_round(b, part, **given):
    """Holds a round of the native engine in float64 to the loop's, and returns both answers."""
    orders = b.orders(part)
    loop, native = (b.engine(name, double=True, **given) for name in ("loop", "native"))
    a, c = loop.answer(b.world(), orders), native.answer(b.world(), orders)
    assert c.notes == ()
    for client in IDS:
        np.testing.assert_allclose(c.ends[client], a.ends[client], rtol=0, atol=1e-9)
        for key, value in loop.memory.get(client).items():
            np.testing.assert_allclose(native.memory.get(client)[key], value, rtol=0, atol=1e-9)
        assert c.losses[client] == pytest.approx(a.losses[client], abs=1e-9)
    assert c.steps == a.steps
    return a, c


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("part", PARTS)
def test_a_round_in_float64(name, part):
    if name == "linear" and part in ("body", "alternating"):
        pytest.skip("one linear layer has no body")
    b = made(name)
    a, _ = same_round(b, PARTS[part])
    for client in IDS:
        assert np.abs(a.ends[client] - b.start).max() > 1e-5


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch", [1, 2, 7, 8, 9, 16, 17, 23])
def test_one_step_in_float32_whatever_the_batch(name, batch):
    """Batches of all fillings: a narrow tile, a wide one, both, and lanes without a sample."""
    b = made(name)
    local = Erm(steps=1, batch=batch, lr=0.1)
    a, c = b.train(local, "loop"), b.train(local, "native")
    assert c.notes == ()
    for client in IDS:
        assert c.ends[client].dtype == np.float32
        error = np.abs(c.ends[client] - a.ends[client])
        assert (error <= 1e-5 * np.maximum(1, np.abs(a.ends[client]))).all()


CHAINS = {
    "relu before pool": [nn.Conv2d(2, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5 * 4 * 3, 4)],
    "no pool": [nn.Conv2d(2, 7, (1, 2), padding=(0, 1)), nn.ReLU(), nn.Flatten(), nn.Linear(7 * 11 * 10, 4)],
    "no ReLU": [
        nn.Conv2d(2, 3, 7, padding=3),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 13, 4),
        nn.Flatten(),
        nn.Linear(13 * 2, 4),
    ],
    "no bias": [
        nn.Conv2d(2, 9, 2, bias=False),
        nn.Sequential(nn.ReLU(), nn.Conv2d(9, 2, 3, padding=2, bias=False)),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.ReLU(),
        nn.Linear(2 * 6 * 5, 6, bias=False),
        nn.Identity(),
        nn.Linear(6, 4),
    ],
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains_of_a_users_own(name):
    from disue.models.split import split

    torch.manual_seed(2)
    shape = (2, 11, 9)
    b = Bed(split(nn.Sequential(*CHAINS[name]), 4), shape, clients(shape, sizes=SIZES))
    for part in ("wide", "rich", "head", "body"):
        same_round(b, PARTS[part])


def test_a_declared_correction_is_the_one_that_is_written():
    context = {name: torch.randn(9, dtype=torch.float64) for name in ("anchor", SHIFT)}
    gradient, weights = torch.randn(2, 9, dtype=torch.float64)
    for phase in (Declared(SGD), ControlledFit(SGD)):
        a, b = phase.pull(context)
        torch.testing.assert_close(gradient + a * weights + b, phase.correct(gradient, weights, context))


def test_a_subclass_that_corrects_otherwise_has_declared_nothing():
    @dataclass(frozen=True)
    class Doubled(Declared):
        def correct(self, gradient, weights, context):
            return 2 * gradient

    same_round(made("mlp"), Phased((Doubled(SGD),)))


def test_augmented_batches():
    b = bed("tiny")
    a, _ = same_round(b, PARTS["rich"], augment=("flip", "crop"))
    assert any(np.abs(a.ends[i] - b.train(PARTS["rich"], double=True).ends[i]).max() > 1e-4 for i in IDS)


def test_what_is_frozen_stays_to_the_bit():
    b = made("cnn")
    part = Part.of("conv2.*")
    moved = b.layout.mask(part)
    for phase in (Fit, Pulled):
        local = Phased((phase(replace(SGD, momentum=0.9, weight_decay=0.1), trains=part),))
        for end in b.train(local, "native").ends.values():
            assert np.array_equal(end[~moved].view(np.int32), b.start[~moved].view(np.int32))
            assert (end[moved] != b.start[moved]).any()


def test_the_same_bits_again_and_nothing_carried_over():
    b = made("cnn")
    engine = b.engine("native")
    orders = b.orders(PARTS["rich"])
    first = engine.answer(b.world(), orders).ends
    engine.answer(b.world(), b.orders(PARTS["wide"], round=5))
    engine.answer(b.world(), b.orders(PARTS["two vectors"], round=6))
    again = engine.answer(b.world(), orders).ends
    for client in IDS:
        assert np.array_equal(first[client], again[client])
        alone = b.train(PARTS["rich"], "native", ids=(client,)).ends[client]
        assert np.array_equal(first[client], alone)


def test_workers_give_the_same_bits():
    b = made("tiny")
    with b.engine("native", workers=2) as engine:
        pooled = engine.answer(b.world(), b.orders(PARTS["rich"]))
    here = b.train(PARTS["rich"], "native")
    assert pooled.notes == ()
    assert all(np.array_equal(pooled.ends[i], here.ends[i]) for i in IDS)


def test_a_part_that_has_no_arithmetic_of_its_own_is_the_plain_one_bit_for_bit():
    b = made("cnn")
    plain, silent = (b.train(Phased((phase(SGD),)), "native").ends for phase in (Fit, Silent))
    assert all(np.array_equal(plain[i], silent[i]) for i in IDS)


@pytest.mark.parametrize(
    ("name", "part", "word"),
    [
        ("normed", "plain", "Normed is not a chain"),
        ("text", "plain", "not a chain"),
        ("residual", "plain", "not a chain"),
        ("sequence", "plain", "Conv1d"),
        ("mlp", "step", "the loss of Step"),
        ("mlp", "own", "the loss of Fit"),
    ],
)
def test_what_is_not_compiled_runs_lean_and_says_why(name, part, word):
    own = Erm(epochs=1, batch=5, loss="torch.nn.functional:multi_margin_loss")
    local = {"plain": PARTS["plain"], "step": Phased((Step(SGD),)), "own": own}[part]
    b = bed(name)
    uploads, lean = b.train(local, "native"), b.train(local, "lean")
    assert len(uploads.notes) == 1 and word in uploads.notes[0]
    assert "engine: trained with lean instead of native" in uploads.notes[0]
    assert all(np.array_equal(uploads.ends[i], lean.ends[i]) for i in IDS)


def test_a_weight_that_is_not_finite_is_not_hidden():
    """ReLU and pool let NaN through, as torch's do: such a client is left out and named."""
    b = made("cnn")
    start = b.start.copy()
    start[b.layout.slices["conv1.bias"].start] = np.nan
    uploads = b.train(PARTS["plain"], "native", starts=start[None])
    assert set(uploads.dropped) == set(IDS)
