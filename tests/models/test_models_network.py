import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from disue.core.errors import UserError
from disue.core.world import Network
from disue.models.build import build
from disue.models.flat import flatten, layout_of
from disue.models.network import TorchNetwork


@pytest.fixture
def tiny():
    return build("tiny", (1, 8, 8), 10, 0)


def draw(n=7, shape=(1, 8, 8)):
    return np.random.default_rng(0).standard_normal((n, *shape)).astype(np.float32)


def test_it_is_the_networks_of_the_core(tiny):
    network: Network = TorchNetwork(tiny, (1, 8, 8), name="tiny")
    assert network.layout.fingerprint == layout_of(tiny).fingerprint and network.layout.model == "tiny"
    assert (network.input_shape, network.input_kind) == ((1, 8, 8), "image")


def test_passes_are_the_modules(tiny):
    network, inputs = TorchNetwork(tiny, (1, 8, 8), batch=3), draw()
    vector = flatten(build("tiny", (1, 8, 8), 10, 5))
    for array in (vector, inputs):
        array.flags.writeable = False
    logits, features = network.both(vector, inputs)
    module = network.module(vector)
    with torch.inference_mode():
        np.testing.assert_allclose(logits, module(torch.tensor(inputs)).numpy(), atol=1e-6)
        np.testing.assert_allclose(features, module.features(torch.tensor(inputs)).numpy(), atol=1e-6)
    assert logits.dtype == features.dtype == np.float32 and features.shape == (7, 64)
    assert np.array_equal(network.logits(vector, inputs), logits)
    assert np.array_equal(network.features(vector, inputs), features)
    assert network.both(vector, inputs[:0])[0].shape == (0, 10)


def test_nothing_of_a_call_stays(tiny):
    network, inputs = TorchNetwork(tiny, (1, 8, 8)), draw()
    one, two = flatten(tiny), flatten(build("tiny", (1, 8, 8), 10, 5))
    first = network.logits(one, inputs)
    network.logits(two, inputs)
    made = network.module(two)
    with torch.no_grad():
        made.head.weight.zero_()
        tiny.head.weight.zero_()
    assert flatten(network.module(one)).tobytes() == one.tobytes() != flatten(made).tobytes()
    assert not bool(made.head.weight.any()), "modules do not share their weights"
    assert np.array_equal(network.logits(one, inputs), first)


def test_forward_is_differentiable_in_both_arguments(tiny):
    network = TorchNetwork(tiny, (1, 8, 8))
    flat = torch.from_numpy(flatten(tiny)).double().requires_grad_()
    inputs = torch.from_numpy(draw(2)).double().requires_grad_()
    logits, features = network.forward(flat, inputs)
    assert logits.dtype == torch.float64 and features.shape == (2, 64)
    loss = logits.square().sum()
    slope = torch.autograd.grad(loss, (flat, inputs))
    for argument, found in zip((flat, inputs), slope, strict=True):
        step = torch.zeros_like(argument)
        step.view(-1)[37] = 1e-6
        moved = [(a + step if a is argument else a).detach() for a in (flat, inputs)]
        numeric = (network.forward(*moved)[0].square().sum() - loss.detach()) / 1e-6
        torch.testing.assert_close(found.view(-1)[37], numeric, atol=1e-4, rtol=1e-3)


def test_text_goes_in_as_numbers_of_tokens():
    module = build("gru", (6,), 10, 0, kind="text", hidden=8)
    network = TorchNetwork(module, (6,), "text")
    for kind in (np.uint8, np.int32, np.int64):
        tokens = np.random.default_rng(0).integers(0, 10, (4, 6)).astype(kind)
        logits = network.logits(flatten(module), tokens)
        flat = torch.from_numpy(flatten(module))
        np.testing.assert_allclose(network.forward(flat, torch.from_numpy(tokens).long())[0], logits, atol=1e-6)


def test_batch_keeps_activations_within_the_limit():
    assert TorchNetwork(build("fedavg-cnn", (1, 28, 28), 10, 0), (1, 28, 28)).batch == 8 * 2**20 // (4 * 32 * 28 * 28)
    assert TorchNetwork(build("tiny", (1, 8, 8), 10, 0), (1, 8, 8)).batch == 1000


def test_a_copy_by_pickle_answers_alike(tiny):
    network = TorchNetwork(tiny, (1, 8, 8), name="tiny")
    other = pickle.loads(pickle.dumps(network))
    assert np.array_equal(other.logits(flatten(tiny), draw()), network.logits(flatten(tiny), draw()))
    assert (other.layout.model, other.batch) == ("tiny", network.batch)


def test_own_module(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    module = build("own_models:Plain", (1, 8, 8), 10, 0)
    network, vector = TorchNetwork(module, (1, 8, 8)), flatten(build("own_models:Plain", (1, 8, 8), 10, 1))
    logits, features = network.both(vector, draw())
    head, bias = network.layout.head(vector)
    np.testing.assert_allclose(features @ head.T + bias, logits, atol=1e-5)
    there = network.forward(torch.from_numpy(vector), torch.from_numpy(draw()))
    np.testing.assert_allclose(there[0], logits, atol=1e-6)
    np.testing.assert_allclose(there[1], features, atol=1e-6)


def test_misfits(tiny):
    network = TorchNetwork(tiny, (1, 8, 8), name="tiny")
    with pytest.raises(UserError, match=r"expected shape \(n, 1, 8, 8\), got \(7, 8, 8\)"):
        network.logits(flatten(tiny), draw(7, (8, 8)))
    with pytest.raises(UserError, match="expected a vector of 1,898 float32"):
        network.logits(np.zeros(3, np.float32), draw())
    with pytest.raises(UserError, match="input kind"):
        TorchNetwork(tiny, (1, 8, 8), "picture")


@pytest.mark.parametrize(("name", "channels"), [("tiny", 1), ("tiny", 3), ("fedavg-cnn", 1)])
def test_images_keep_their_channels_innermost(name, channels):
    """One channel looks the same in both orders, and torch then takes the slow one."""
    shape = (channels, 28, 28)
    network = TorchNetwork(build(name, shape, 4, 0), shape)
    seen = []
    for layer in network._bound.module.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda layer, given, out: seen.append(out))
    network.logits(flatten(build(name, shape, 4, 1)), np.zeros((3, *shape), np.float32))
    assert len(seen) == 2 and all(out.stride(1) == 1 for out in seen)
