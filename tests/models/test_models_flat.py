import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from disue.core.errors import UserError
from disue.core.layout import HEAD, Part
from disue.models.build import build
from disue.models.flat import bind, entries_of, flatten, layout_of, load

CASES = [
    ("mlp", (64,), {}),
    ("tiny", (1, 8, 8), {}),
    ("lenet", (1, 28, 28), {}),
    ("resnet8", (3, 8, 8), {}),
    ("resnet8", (3, 8, 8), {"norm": "batch"}),
    ("cnn1d", (9, 32), {}),
    ("gru", (12,), {"hidden": 16}),
]
IDS = [f"{name}-{given.get('norm', '')}" for name, _, given in CASES]


def inputs_for(name, shape, dtype=torch.float32):
    draw = torch.Generator().manual_seed(2)
    return (
        torch.randint(0, 10, (4, *shape), generator=draw)
        if name == "gru"
        else torch.randn(4, *shape, generator=draw).to(dtype)
    )


def other(layout, seed=9):
    return np.random.default_rng(seed).random(layout.d, np.float32) * np.float32(0.1)


@pytest.mark.parametrize(("name", "shape", "given"), CASES, ids=IDS)
def test_round_trip_is_bit_exact(name, shape, given):
    module = build(name, shape, 10, 0, **given)
    layout, vector = layout_of(module), other(layout_of(module))
    vector.flags.writeable = False
    load(module, vector)
    assert flatten(module).tobytes() == vector.tobytes()
    for label, tensor in module.named_parameters():
        assert layout.tensor(vector, label).tobytes() == tensor.detach().numpy().tobytes()
    bound = bind(module)
    assert bound.vector().tobytes() == vector.tobytes() and bound.layout.fingerprint == layout.fingerprint


@pytest.mark.parametrize(("name", "shape", "given"), CASES, ids=IDS)
def test_functional_pass_is_the_modules_own(name, shape, given):
    module = build(name, shape, 10, 0, **given)
    bound, inputs = bind(build(name, shape, 10, 1, **given)), inputs_for(name, shape)
    logits, features = bound.call(torch.from_numpy(flatten(module)), inputs)
    assert torch.equal(logits, module(inputs)) and torch.equal(features, module.features(inputs))
    assert torch.equal(
        functional_call(bound.module, bound.tensors(torch.from_numpy(flatten(module))), (inputs,)), logits
    )
    bound.set(flatten(module))
    assert torch.equal(bound.both(inputs)[0], logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parameters_are_views_of_the_flat_tensor(dtype):
    bound = bind(build("tiny", (1, 8, 8), 10, 0), dtype)
    assert bound.flat.dtype == dtype and bound.flat.shape == (1898,) and not bound.flat.requires_grad
    with torch.no_grad():
        bound.flat.fill_(2.0)
        bound.module.head.bias.zero_()
    assert bool((bound.module.conv1.weight == 2).all()) and bool((bound.flat[-10:] == 0).all())
    loss = F.cross_entropy(bound.module(torch.ones(3, 1, 8, 8, dtype=dtype)), torch.tensor([1, 2, 3]))
    pieces = torch.autograd.grad(loss, bound.parameters)
    torch._foreach_add_([tensor.data for tensor in bound.parameters], list(pieces), alpha=-1.0)
    torch.testing.assert_close(bound.flat[-10:], -pieces[-1])


@pytest.mark.parametrize(("name", "shape", "given"), CASES, ids=IDS)
def test_gradient_in_the_flat_vector_is_the_parameters_gradient(name, shape, given):
    bound, inputs = (
        bind(build(name, shape, 10, 0, **given), torch.float64),
        inputs_for(name, shape, torch.float64),
    )
    labels, flat = torch.tensor([0, 1, 2, 3]), bound.flat.clone().requires_grad_()
    F.cross_entropy(bound.call(flat, inputs)[0], labels).backward()
    pieces = torch.autograd.grad(F.cross_entropy(bound.both(inputs)[0], labels), bound.parameters)
    trained = torch.from_numpy(bound.layout.mask(Part()).copy())
    torch.testing.assert_close(flat.grad[trained], torch.cat([piece.reshape(-1) for piece in pieces]))
    assert bool((flat.grad[~trained] == 0).all())


@pytest.mark.parametrize(("name", "shape", "given"), [case for case in CASES if not case[2].get("norm")])
def test_vmap_over_vectors(name, shape, given):
    bound, inputs = bind(build(name, shape, 10, 0, **given)), inputs_for(name, shape)
    flats = torch.stack([bound.flat, bound.flat * 0.5])

    def loss(flat, batch):
        return F.cross_entropy(bound.call(flat, batch)[0], torch.tensor([0, 1, 2, 3]))

    mapped = vmap(grad(loss))(flats, torch.stack([inputs, inputs]))
    for row, flat in zip(mapped, flats, strict=True):
        torch.testing.assert_close(row, grad(loss)(flat, inputs), atol=1e-6, rtol=1e-4)


def test_layout_of_a_batch_norm_model():
    module = build("resnet8", (3, 8, 8), 10, 0, norm="batch")
    layout = layout_of(module, "resnet8")
    kinds = {entry.name: (entry.kind, entry.module) for entry in layout.entries}
    assert kinds["stem.weight"] == ("weight", "Conv2d") and kinds["norm.weight"] == ("weight", "BatchNorm2d")
    assert kinds["norm.running_mean"] == ("statistic", "BatchNorm2d") and "norm.num_batches_tracked" not in kinds
    names = [entry.name for entry in layout.entries]
    assert names.index("head.bias") < names.index("norm.running_mean"), "weights first, then statistics"
    assert int(layout.mask(Part()).sum()) == 77_850 and int(layout.mask(HEAD).sum()) == 650
    assert int(layout.mask(Part(("@type:BatchNorm*",), "any")).sum()) == 4 * (16 * 3 + 32 * 2 + 64 * 2)


def test_fingerprint_is_stable():
    fingerprints = [layout_of(build("tiny", (1, 8, 8), 10, seed)).fingerprint for seed in (0, 1)]
    assert fingerprints == ["23ab17e7620f4d9a1ce3942cd1e7728bd61773a2756cfc45fa2405a0bc7ac20f"] * 2
    assert layout_of(build("tiny", (1, 8, 8), 9, 0)).fingerprint != fingerprints[0]


def test_statistics_are_tracked_only_where_asked():
    module = build("resnet8", (3, 8, 8), 10, 0, norm="batch")
    bound, inputs = bind(module), torch.randn(4, 3, 8, 8) + 1
    where = bound.layout.slices["norm.running_mean"]
    flat = bound.flat.clone().requires_grad_()
    before, counter = flat.detach().clone(), module.norm.num_batches_tracked.clone()
    train, _ = bound.call(flat, inputs, train=True)
    assert torch.equal(flat.detach(), before) and torch.equal(module.norm.num_batches_tracked, counter)
    assert not torch.equal(train, bound.call(flat, inputs)[0])
    tracked, _ = bound.call(flat, inputs, train=True, track=True)
    tracked.sum().backward()  # a statistic that changed does not upset the gradient
    torch.testing.assert_close(flat.detach()[where], 0.1 * module.stem(inputs).mean((0, 2, 3)).detach())
    weights = torch.from_numpy(bound.layout.mask(Part()).copy())
    assert torch.equal(flat.detach()[weights], before[weights]) and not module.training
    module.train()
    bound.both(inputs)
    assert torch.equal(bound.flat[where], flat.detach()[where]), (
        "in train mode the module writes into its own flat tensor"
    )


def test_frozen_parameters_are_statistics_and_constants_stay_out():
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    module[0].weight.requires_grad_(False)
    module.register_buffer("table", torch.ones(4), persistent=False)
    kinds = {entry.name: entry.kind for entry in entries_of(module)}
    assert kinds == {"0.weight": "statistic", "0.bias": "weight", "1.weight": "weight", "1.bias": "weight"}


def test_misfits():
    module = build("tiny", (1, 8, 8), 10, 0)
    for bad in (np.zeros(3, np.float32), np.zeros((1898, 1), np.float32)):
        with pytest.raises(UserError, match="expected 1,898 numbers"):
            load(module, bad)
        with pytest.raises(UserError, match="expected 1,898 numbers"):
            bind(build("tiny", (1, 8, 8), 10, 0)).set(bad)
    with pytest.raises(UserError, match=r"0.weight is torch.float16"):
        entries_of(nn.Sequential(nn.Linear(2, 2).half()))
    with pytest.raises(UserError, match="no linear head"):
        layout_of(nn.Conv2d(1, 1, 1))
