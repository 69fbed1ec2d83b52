"""What training costs: arithmetic per sample, counted from the layers that ran."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from disue.core.clients import Local, Phase, Walking
from disue.core.world import Network
from disue.engine.batches import steps_of
from disue.models.split import both

RATE = 8e9  # operations a second that one core is taken to reach, for predictions


def flops(network: Network) -> float:
    """Operations of one sample's forward and backward pass: three times two per multiplication."""
    module = network.module(torch.zeros(network.layout.d).numpy())
    total = 0.0

    def note(layer: nn.Module, given: tuple[Tensor, ...], out: Tensor | tuple[Tensor, ...]) -> None:
        nonlocal total
        seen = out if isinstance(out, Tensor) else out[0]
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            total += seen.numel() * layer.in_channels // layer.groups * math.prod(layer.kernel_size)
        elif isinstance(layer, nn.Linear):
            total += seen.numel() * layer.in_features
        elif isinstance(layer, nn.RNNBase):
            total += seen.shape[0] * seen.shape[1] * sum(weight.numel() for weight in layer.parameters())

    handles = [layer.register_forward_hook(note) for layer in module.modules()]
    kind = torch.int64 if network.input_kind == "text" else torch.float32
    with torch.inference_mode():
        both(module, torch.zeros((1, *network.input_shape), dtype=kind))
    for handle in handles:
        handle.remove()
    return 6 * total


def passes(local: Local, sizes: Mapping[int, int]) -> float:
    """Samples that go through training in one exchange."""
    return float(
        sum(
            _gradients(phase) * steps_of(phase.sgd, size) * min(phase.sgd.batch, size)
            for phase in local.phases
            for size in sizes.values()
        )
    )


def _gradients(phase: Phase) -> float:
    """How often a phase looks at each of its samples."""
    return phase.gradients / phase.batches if isinstance(phase, Walking) else 1.0
