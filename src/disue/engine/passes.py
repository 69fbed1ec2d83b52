"""What a phase's loss runs the network with (`core.clients.Forward`): two functions as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor, nn
from torch.nn import functional as F

from disue.core.layout import Layout

Run: TypeAlias = Callable[..., tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Passes:
    """run  (inputs, name) → (logits, features)      weight, bias  of the head in training"""

    run: Run
    weight: Tensor
    bias: Tensor

    def __call__(self, inputs: Tensor, name: str | None = None) -> tuple[Tensor, Tensor]:
        return self.run(inputs, name)

    def head(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight, self.bias)


def passes(run: Run, module: nn.Module, layout: Layout) -> Passes:
    """`run`, with the head of the module in training."""
    return Passes(run, module.get_parameter(layout.head_weight), module.get_parameter(layout.head_bias))
