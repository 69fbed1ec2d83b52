"""What a phase moves: the weights it steps, and the statistics that follow them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from disue.core.clients import Phase
from disue.core.layout import Layout, Part


@dataclass(frozen=True)
class Moves:
    """weights  names of the trained tensors, in the order of the layout
    runs     the stretches of the vector that they fill: [(start, stop), …], as few as possible
    tracked  names of the modules whose statistics move
    """

    weights: frozenset[str]
    runs: tuple[tuple[int, int], ...]
    tracked: frozenset[str]


def moves(layout: Layout, part: Part) -> Moves:
    """A statistic moves where its tensor's name meets the part's patterns; all others are frozen."""
    trained = layout.mask(part)
    seen = layout.mask(replace(part, kind="any"))
    runs: list[tuple[int, int]] = []
    weights, tracked = set(), set()
    for entry in layout.entries:
        where = layout.slices[entry.name]
        if entry.size == 0:
            continue
        if entry.kind == "weight" and bool(trained[where.start]):
            weights.add(entry.name)
            if runs and runs[-1][1] == where.start:
                runs[-1] = (runs[-1][0], where.stop)
            else:
                runs.append((where.start, where.stop))
        elif entry.kind == "statistic" and bool(seen[where.start]):
            tracked.add(entry.name.rpartition(".")[0])
    return Moves(frozenset(weights), tuple(runs), frozenset(tracked))


def normalised(module: nn.Module) -> bool:
    """Whether a batch of one sample is too few: the model has BatchNorm."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in module.modules())


def prepare(module: nn.Module, layout: Layout, found: Moves, size: int) -> None:
    """Train mode, with evaluation mode for every module whose statistics are frozen.

    A client with one sample alone is trained under the running statistics: one sample has no variance.
    """
    module.train()
    holders = {entry.name.rpartition(".")[0] for entry in layout.entries if entry.kind == "statistic"}
    for name, layer in module.named_modules():
        batch_norm = isinstance(layer, nn.modules.batchnorm._BatchNorm)
        if batch_norm and ((name in holders and name not in found.tracked) or size == 1):
            layer.eval()
    for name, weight in module.named_parameters():
        weight.requires_grad_(name in found.weights)


@torch.no_grad()
def corrects(phase: Phase, context: Mapping[str, Tensor]) -> bool:
    """Whether the phase changes gradients at all, asked once with a gradient of zeros; `context` is one client's."""
    weights = context[phase.vector]
    return phase.correct(torch.zeros_like(weights), weights, context) is not None


def tensors(values: Mapping[str, np.ndarray], dtype: torch.dtype, device: str) -> dict[str, Tensor]:
    """Arrays as tensors of their own: real ones cast to `dtype`, integers as they are."""
    out = {}
    for name, value in values.items():
        own = torch.from_numpy(np.array(value))  # a copy: what a part handed over stays as it is
        out[name] = own.to(device, dtype if own.is_floating_point() else None)
    return out
