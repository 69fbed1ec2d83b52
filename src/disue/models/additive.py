"""The sum of two models of one kind: what all clients share, and what a group adds to it (CAM)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from disue.models.split import head_of


class Additive(nn.Module):
    """Logits are those of `shared` plus those of `own`, two modules that both end in logits (n, classes).

    Its features are the summed logits, and its head is the identity, which is never trained: no linear layer of the
    sum holds what both branches know.
    """

    positive = False

    def __init__(self, shared: nn.Module, own: nn.Module, classes: int) -> None:
        super().__init__()
        self.shared, self.own = shared, own
        self.head = nn.Linear(classes, classes)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(classes))
            self.head.bias.zero_()
        self.head.requires_grad_(False)

    def features(self, inputs: Tensor) -> Tensor:
        """Σ of both branches' logits, (n, classes)."""
        out: Tensor = self.shared(inputs) + self.own(inputs)
        return out

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, (n, classes)."""
        out: Tensor = self.head(self.features(inputs))
        return out


def silenced(module: nn.Module) -> nn.Module:
    """The same module with a head of zeros: it adds nothing until it is trained."""
    layer = head_of(module).layer
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    return module
