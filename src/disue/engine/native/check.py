"""Holds compiled code against torch in float64, on the machine where it is to run."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from disue.core.clients import Sgd
from disue.core.world import Network
from disue.engine.native.trainer import Trainer, Unavailable

LR, TOLERANCE = 0.1, 1e-5  # of the norm of the update
SAMPLES = 3


def checked(network: Network, trainer: Trainer) -> Trainer:
    """The trainer, after one step from each of two random vectors. Raises Unavailable where they differ.

    A float32 vector may lie so near a kink of ReLU or of the pool that rounding takes the other side; one
    of the two may therefore miss, if a third one does not.
    """
    errors = [_error(network, trainer, seed) for seed in (0, 1)]
    if max(errors) > TOLERANCE:
        errors = sorted([*errors, _error(network, trainer, 2)])[:2]
    if not max(errors) <= TOLERANCE:
        raise Unavailable(f"a compiled step differs from torch's by {max(errors):.1e} of its length on this machine")
    return trainer


def _error(network: Network, trainer: Trainer, seed: int) -> float:
    """|compiled update − torch's in float64| / |torch's|, on random weights and samples."""
    layout = network.layout
    rng = np.random.default_rng(seed)
    start = np.empty(layout.d)
    for entry in layout.entries:  # scaled so that the signal neither dies nor grows from layer to layer
        inward = max(int(np.prod(entry.shape[1:])), 1) if len(entry.shape) > 1 else 4
        start[layout.slices[entry.name]] = rng.standard_normal(entry.size) / np.sqrt(inward)
    x = rng.standard_normal((SAMPLES, *network.input_shape)).astype(np.float32)
    labels = torch.from_numpy(rng.integers(0, layout.classes, SAMPLES))
    vector = torch.from_numpy(start).to(torch.float32)
    wide = vector.double().requires_grad_()
    (slope,) = torch.autograd.grad(
        F.cross_entropy(network.forward(wide, torch.from_numpy(x).double(), train=True)[0], labels), wide
    )
    trainer.flat.copy_(vector)
    order, sizes, runs = np.arange(SAMPLES), np.array([SAMPLES]), np.array([0, layout.d])
    inputs = torch.from_numpy(x).to(trainer.dtype)
    trainer.phase(inputs, labels, order, sizes, runs, Sgd(lr=LR))
    update = trainer.flat.double() - vector.double()
    wanted = -LR * slope
    return float((update - wanted).norm() / wanted.norm().clamp(min=1e-30))
