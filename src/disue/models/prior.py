"""A model with a client's own label prior added to its logits: nothing is trained or sent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from disue.core.checks import Float64


class WithPrior(nn.Module):
    """logits / scale + shift, shift (classes,) the logarithm of the client's smoothed label shares."""

    def __init__(self, model: nn.Module, shift: Float64, scale: float = 1.0) -> None:
        super().__init__()
        self.model, self.scale = model, scale
        self.shift: Tensor
        self.register_buffer("shift", torch.from_numpy(shift).to(torch.float32))

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(inputs)
        return logits / self.scale + self.shift
