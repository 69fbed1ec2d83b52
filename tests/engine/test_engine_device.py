"""What must hold on any device, and what a run says where it is asked for one that is not there."""

import numpy as np
import pytest
import torch
from engine_bed import IDS, Erm, bed
from test_engine_backends import PARTS

from disue.core.errors import UserError
from disue.engine import Engine, choice
from disue.engine.crew import Choice
from disue.engine.interface import Work
from disue.engine.shelf import Shelf
from disue.models.network import TorchNetwork

MODELS = ("mlp", "tiny", "sequence")


@pytest.mark.parametrize("backend", ["loop", "lean", "stacked"])
@pytest.mark.parametrize("part", ["rich", "two vectors"])
@pytest.mark.parametrize("model", MODELS)
def test_a_round_in_float64_is_the_references_on_the_cpu(model, part, backend, device):
    b = bed(model)
    want = b.train(PARTS[part], "loop", double=True)
    with b.engine(backend, device=device, double=True) as engine:
        found = engine.answer(b.world(), b.orders(PARTS[part]))
        assert found.notes == ()
        for client in IDS:
            assert isinstance(found.ends[client], np.ndarray)
            np.testing.assert_allclose(found.ends[client], want.ends[client], rtol=0, atol=1e-8)


@pytest.mark.parametrize("backend", ["lean", "stacked"])
def test_the_same_bits_twice_and_for_any_number_of_workers(backend, device):
    b, found = bed("tiny"), []
    if device == "cuda":
        torch.backends.cudnn.deterministic = True
    for workers in (1, 1, 2):
        with b.engine(backend, device=device, workers=workers) as engine:
            found.append(engine.answer(b.world(), b.orders(PARTS["rich"])).ends)
            assert (engine.staff.pool is not None) == (workers == 2 and device == "cpu")
    for ends in found[1:]:
        assert all(np.array_equal(ends[i], found[0][i]) for i in IDS)


def test_the_clients_data_lie_on_the_device(device):
    data = Shelf(bed("tiny").held, torch.float32, device, 2**20).get(17)
    assert data.inputs.device.type == data.labels.device.type == device
    assert isinstance(data.x, np.ndarray) and data.inputs.shape == data.x.shape


@pytest.mark.parametrize("model", MODELS)
def test_passes_for_evaluation_are_the_cpus(model, device):
    b = bed(model)
    there = TorchNetwork(b.module, b.shape, b.kind, device=device)
    inputs = np.concatenate([b.held.train(i)[0] for i in IDS])
    for ours, theirs in zip(there.both(b.start, inputs), b.network.both(b.start, inputs), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_beyond_the_cpu_clients_are_stacked_without_a_measurement(monkeypatch):
    """Whatever the work; the rule alone is asked, so no such device is needed."""
    monkeypatch.setattr(choice, "flops", lambda network: 1e12)
    b = bed("tiny")
    offered = [Choice("lean"), Choice("stacked", 10), Choice("native")]
    for device, want in (("cuda", "stacked"), ("cpu", "lean")):
        work = Work(b.network, b.world().streams, "train", 3, device=device)
        assert choice._by_rule(work, Erm(), offered).backend == want


@pytest.mark.parametrize("name", ["tpu", "cud", "cuda:99"])
def test_a_device_that_is_not_there_is_one_sentence(name):
    if name.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(UserError) as caught:
        Engine(bed("mlp").held, device=name)
    assert caught.value.key == "engine.device" and "cpu" in str(caught.value)
