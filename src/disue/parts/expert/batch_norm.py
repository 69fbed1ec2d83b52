"""Teachers that also say how far a batch is from what their batch normalisation has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from disue.core.checks import Matrix
from disue.core.layout import Layout
from disue.core.world import Network

if TYPE_CHECKING:
    from torch import Tensor, nn


def normalises(layout: Layout) -> bool:
    """Whether the model tracks statistics in batch normalisation."""
    return any(entry.kind == "statistic" and entry.module.startswith("BatchNorm") for entry in layout.entries)


class Witnesses:
    """Models in evaluation mode, each with a hook on every batch normalisation.

    A call gives (k, B, C) logits and Σ over models and layers of ‖σ² − running variance‖ + ‖μ − running mean‖ of the
    layer's inputs, with μ and σ² over all axes but the channels'.
    """

    def __init__(self, network: Network, models: Matrix) -> None:
        import torch

        self.network = network
        self.modules = [network.module(np.ascontiguousarray(model)) for model in models]
        self._off: list[Tensor] = []
        for module in self.modules:
            module.requires_grad_(False)
            for layer in module.modules():
                if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm) and layer.track_running_stats:
                    layer.register_forward_hook(self._note)

    def _note(self, layer: nn.Module, given: tuple[Any, ...], out: Any) -> None:
        known: Any = layer
        x: Tensor = given[0]
        over = [axis for axis in range(x.ndim) if axis != 1]
        mean, variance = x.mean(over), x.var(over, unbiased=False)
        self._off.append((variance - known.running_var).norm() + (mean - known.running_mean).norm())

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        import torch

        self._off = []
        logits = torch.stack([module(x) for module in self.modules])
        return logits, torch.stack(self._off).sum()
