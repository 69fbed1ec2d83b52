"""What the teachers say is the same whether they are asked one after the other or all at once."""

import numpy as np
import pytest
import torch

from disue.models.build import build
from disue.models.flat import flatten
from disue.models.network import TorchNetwork
from disue.parts.expert.distil import Ensemble
from disue.parts.expert.teachers import Teachers

SHAPES = {"mlp": ((6,), "vector"), "tiny": ((1, 8, 8), "image"), "resnet8": ((1, 8, 8), "image")}


def ensemble(name, k):
    shape, kind = SHAPES[name]
    modules = [build(name, shape, 4, seed) for seed in range(k)]
    models = np.stack([flatten(module) for module in modules])
    network = TorchNetwork(modules[0], shape, kind)
    teachers = Teachers(models, np.ones((k, 4), bool), np.full((k, 4), 1 / k))
    return Ensemble(network, teachers, models[0], mask="none", mixture="probability", temperature=1.0), shape


@pytest.mark.parametrize(("name", "k", "together"), [("mlp", 3, True), ("mlp", 2, False), ("tiny", 4, True)])
def test_small_teachers_are_asked_at_once(name, k, together):
    both, shape = ensemble(name, k)
    assert both.together is together
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = both.logits(x)
    (slope,) = torch.autograd.grad(found.square().sum(), x)
    one_by_one = torch.stack([both.network.forward(model, x)[0] for model in both.models])
    (reference,) = torch.autograd.grad(one_by_one.square().sum(), x)
    torch.testing.assert_close(found, one_by_one, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(slope, reference, rtol=1e-5, atol=1e-5)


def test_an_operator_that_cannot_be_batched_is_asked_one_after_the_other():
    both, shape = ensemble("resnet8", 3)
    real, calls = both.network, []

    class Counted:
        def __getattr__(self, name):
            return getattr(real, name)

        def forward(self, flat, x):
            calls.append(flat.ndim)
            if torch._C._functorch.is_batchedtensor(flat):
                raise RuntimeError("no batching rule")
            return real.forward(flat, x)

    both.network = Counted()
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    found = both.logits(x)
    assert len(calls) == 1 + 3 and both.together is False
    torch.testing.assert_close(found, torch.stack([real.forward(model, x)[0] for model in both.models]))
