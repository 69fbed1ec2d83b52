"""The lean backend is held to the reference: one step in float32, whole rounds in float64."""

from dataclasses import replace

import numpy as np
import pytest
from engine_bed import IDS, Erm, Phased, Step, bed

from disue.core.clients import Sgd
from disue.core.errors import UserError
from disue.core.layout import BODY, HEAD, Part

SGD = Sgd(lr=0.1, epochs=2, batch=5)
PARTS = {
    "plain": Erm(epochs=2, batch=5, lr=0.1),
    "rich": Erm(epochs=2, batch=5, lr=0.1, momentum=0.9, weight_decay=0.01, clip=0.5),
    "steps": Erm(steps=7, batch=5, lr=0.1),
    "pulled": Phased((Step(SGD, pull=0.5),)),
    "contrast": Phased((Step(SGD, contrast="other"),)),
    "head": Phased((Step(SGD, trains=HEAD),)),
    "alternating": Phased((Step(SGD, trains=HEAD), Step(replace(SGD, momentum=0.5), trains=BODY))),
    "two vectors": Phased((Step(SGD), Step(SGD, "personal", pull=0.3, contrast="model")), second=True),
}
BEDS = ("mlp", "tiny", "normed", "dropping")


@pytest.mark.parametrize("name", BEDS)
@pytest.mark.parametrize("part", PARTS)
def test_a_round_in_float64(name, part):
    b = bed(name)
    loop, lean = (b.engine(backend, double=True) for backend in ("loop", "lean"))
    orders = b.orders(PARTS[part])
    a, c = loop.answer(b.world(), orders), lean.answer(b.world(), orders)
    for client in IDS:
        assert np.abs(a.ends[client] - b.start).max() > 1e-4
        np.testing.assert_allclose(c.ends[client], a.ends[client], rtol=0, atol=1e-9)
        for key, value in loop.memory.get(client).items():
            np.testing.assert_allclose(lean.memory.get(client)[key], value, rtol=0, atol=1e-9)
        assert c.losses[client] == pytest.approx(a.losses[client], abs=1e-9)
        assert c.steps == a.steps


@pytest.mark.parametrize("name", ["text", "sequence", "residual"])
def test_a_round_in_float64_of_other_models(name):
    b = bed(name)
    a, c = (b.train(PARTS["rich"], backend, double=True).ends for backend in ("loop", "lean"))
    for client in IDS:
        assert np.abs(a[client] - b.start).max() > 1e-4
        np.testing.assert_allclose(c[client], a[client], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [*BEDS, "text", "sequence", "residual"])
def test_one_step_in_float32(name):
    b = bed(name)
    local = Erm(steps=1, batch=5, lr=0.1)
    a, c = b.train(local, "loop"), b.train(local, "lean")
    for client in IDS:
        assert a.ends[client].dtype == c.ends[client].dtype == np.float32
        error = np.abs(c.ends[client] - a.ends[client])
        assert (error <= 1e-5 * np.maximum(1, np.abs(a.ends[client]))).all()


@pytest.mark.parametrize("name", ["tiny", "normed"])
def test_lean_repeats_itself_bit_for_bit_and_carries_nothing_over(name):
    b = bed(name)
    engine = b.engine("lean")
    orders = b.orders(PARTS["rich"])
    first = engine.answer(b.world(), orders).ends
    engine.answer(b.world(), b.orders(PARTS["two vectors"], round=5))
    again, fresh = engine.answer(b.world(), orders).ends, b.train(PARTS["rich"]).ends
    for client in IDS:
        assert np.array_equal(first[client], again[client])
        assert np.array_equal(first[client], fresh[client])


def test_correct_of_none_takes_the_plain_path_bit_for_bit():
    b = bed("tiny")
    plain = b.train(Erm(epochs=2, batch=5, lr=0.1)).ends
    same = b.train(Phased((Step(SGD, pull=0.0),))).ends
    assert all(np.array_equal(plain[client], same[client]) for client in IDS)


@pytest.mark.parametrize("backend", ["loop", "lean"])
@pytest.mark.parametrize("part", [HEAD, BODY, Part.of("conv.*"), Part.of("@type:BatchNorm*")])
def test_what_is_frozen_stays_to_the_bit(backend, part):
    b = bed("normed")
    sgd = replace(SGD, momentum=0.9, weight_decay=0.1)
    moved = b.layout.mask(replace(part, kind="any"))
    for end in b.train(Phased((Step(sgd, trains=part, pull=0.2),)), backend).ends.values():
        assert np.array_equal(end[~moved].view(np.int32), b.start[~moved].view(np.int32))
        assert (end[moved] != b.start[moved]).any()


@pytest.mark.parametrize("backend", ["loop", "lean"])
def test_statistics_follow_the_data(backend):
    """A convolution at zero gives its bias as output: running mean ← 0.9 · old + 0.1 · bias each step."""
    b = bed("normed")
    start = b.start.copy()
    where = b.layout.slices
    start[where["conv.weight"]] = 0
    start[where["conv.bias"]] = [1.0, 2.0, -1.0]
    frozen = Erm(steps=2, lr=1e-30)
    for end in b.train(frozen, backend, starts=start[None]).ends.values():
        np.testing.assert_allclose(end[where["norm.running_mean"]], [0.19, 0.38, -0.19], atol=1e-6)
        np.testing.assert_allclose(end[where["norm.running_var"]], 0.81, atol=1e-6)


@pytest.mark.parametrize("backend", ["loop", "lean"])
def test_a_cumulative_mean_starts_anew_with_each_client(backend):
    """BatchNorm with momentum None averages all batches, counted by a buffer that is in no vector."""
    b = bed("normed")
    b.module.norm.momentum = None
    b = type(b)(b.module, b.shape, b.held)
    together = b.train(Erm(epochs=1, batch=5), backend).ends
    for client in IDS:
        assert np.array_equal(together[client], b.train(Erm(epochs=1, batch=5), backend, ids=[client]).ends[client])


@pytest.mark.parametrize("backend", ["loop", "lean"])
def test_batch_norm_never_sees_one_sample(backend):
    """Sizes 1, 6 and 11 in batches of 5: the lonely last sample joins the batch before; alone, it is evaluated."""
    b = bed("normed", sizes={4001: 1, 17: 6, 902: 11})
    uploads = b.train(Erm(epochs=1, batch=5), backend)
    assert uploads.steps == {17: 1, 902: 2, 4001: 1}
    assert np.isfinite(uploads.ends[4001]).all()
    assert np.array_equal(
        uploads.ends[4001][b.layout.slices["norm.running_mean"]], b.start[b.layout.slices["norm.running_mean"]]
    )
    with pytest.raises(UserError) as caught:
        b.train(Erm(epochs=1, batch=1), backend)
    assert caught.value.key == "local.batch"


def test_dropout_is_drawn_by_client_and_leaves_torch_as_it_was():
    import torch

    b = bed("dropping")
    torch.manual_seed(11)
    before = torch.get_rng_state()
    a = b.train(Erm(epochs=1, batch=5, lr=0.1), ids=[17, 902]).ends[902]
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(a, b.train(Erm(epochs=1, batch=5, lr=0.1), ids=[902]).ends[902])


def test_augmented_batches_are_the_same_for_both_backends():
    b = bed("tiny")
    orders = b.orders(Erm(epochs=2, batch=5, lr=0.1))
    ends = [
        b.engine(backend, augment=("flip", "crop"), double=True).answer(b.world(), orders).ends
        for backend in ("loop", "lean")
    ]
    plain = b.train(orders.local, double=True).ends
    for client in IDS:
        np.testing.assert_allclose(ends[0][client], ends[1][client], rtol=0, atol=1e-9)
        assert np.abs(ends[0][client] - plain[client]).max() > 1e-4
