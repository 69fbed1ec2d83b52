"""A model that is one layer after the other, the head last."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class Chain(nn.Sequential):
    """Layers by name, run in order; the last one is called `head` and is linear.

    Its children are all there is to it, so an engine that knows the layers' types can stack it without
    knowing the model. Layers without weights come after pooling: ReLU of a maximum is the maximum of
    ReLUs, bit for bit, at a quarter of the work.
    """

    head: nn.Linear
    positive: bool

    def __init__(self, layers: Mapping[str, nn.Module], head: nn.Linear) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.add_module("head", head)
        shaped = [layer for layer in layers.values() if not isinstance(layer, nn.Flatten)]
        self.positive = bool(shaped) and isinstance(shaped[-1], nn.ReLU)

    def features(self, inputs: Tensor) -> Tensor:
        """What the head sees, (n, features)."""
        out = inputs
        for name, layer in self.named_children():
            if name != "head":
                out = layer(out)
        return out

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, (n, classes)."""
        out: Tensor = self.head(self.features(inputs))
        return out
