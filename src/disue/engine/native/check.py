"""Holds compiled code against torch in float64, on the machine where it is to run."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch.nn import functional as F

from disue.core.clients import Sgd
from disue.core.world import Network
from disue.engine.native.chain import layers_of
from disue.engine.native.trainer import Trainer, Unavailable
from disue.models.build import build
from disue.models.network import TorchNetwork

LR, TOLERANCE = 0.1, 1e-5  # of the norm of the update
SAMPLES, FEW = 27, 3  # every kind of tile for the two models, few samples for a network that may be large


def checked(network: Network, trainer: Trainer) -> Trainer:
    """The trainer, once its code has passed `arithmetic`, and the network itself a step. Raises Unavailable."""
    arithmetic(trainer.dtype)
    _hold(network, trainer, FEW)
    return trainer


@functools.cache
def arithmetic(dtype: torch.dtype) -> None:
    """Once in a process: a step of two random models, one of them with convolutions. Raises Unavailable."""
    for name, shape in (("cnn", (2, 9, 11)), ("mlp", (19,))):
        network = TorchNetwork(build(name, shape, 3, 0), shape, "image" if len(shape) == 3 else "vector")
        layers = layers_of(network)
        assert not isinstance(layers, str)
        _hold(network, Trainer(layers, network.layout.d, dtype), SAMPLES)


def _hold(network: Network, trainer: Trainer, samples: int) -> None:
    """Steps from two random vectors. A float32 value may lie so near a kink of ReLU or pool that rounding takes
    its other side, so one of the two may miss if a third one does not."""
    errors = [_error(network, trainer, samples, seed) for seed in (0, 1)]
    if not max(errors) <= TOLERANCE:
        errors = sorted([*errors, _error(network, trainer, samples, 2)])[:2]
    if not max(errors) <= TOLERANCE:
        raise Unavailable(f"a compiled step differs from torch's by {max(errors):.1e} of its length on this machine")


def _error(network: Network, trainer: Trainer, samples: int, seed: int) -> float:
    """|compiled update − torch's in float64| / |torch's|, on random weights and samples."""
    layout = network.layout
    rng = np.random.default_rng(seed)
    start = np.empty(layout.d)
    for entry in layout.entries:  # scaled so that the signal neither dies nor grows from layer to layer
        inward = max(int(np.prod(entry.shape[1:])), 1) if len(entry.shape) > 1 else 4
        start[layout.slices[entry.name]] = rng.standard_normal(entry.size) / np.sqrt(inward)
    inputs = torch.from_numpy(rng.standard_normal((samples, *network.input_shape))).float()
    labels = torch.from_numpy(rng.integers(0, layout.classes, samples))
    vector = torch.from_numpy(start).float()
    wide = vector.double().requires_grad_()
    logits, _ = network.forward(wide, inputs.double(), train=True)
    (slope,) = torch.autograd.grad(F.cross_entropy(logits, labels), wide)
    trainer.flat.copy_(vector)
    order, sizes, runs = np.arange(samples), np.array([samples]), np.array([0, layout.d])
    trainer.phase(inputs.to(trainer.dtype), labels, order, sizes, runs, Sgd(lr=LR))
    update = trainer.flat.double() - vector.double()
    wanted = -LR * slope
    return float((update - wanted).norm() / wanted.norm().clamp(min=1e-30))
