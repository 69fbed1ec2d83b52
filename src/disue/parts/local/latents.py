"""A small generator of features: noise and a label in, what the last layer sees out. All of it is one flat vector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from disue.core.checks import Vector

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Latents:
    """linear → batch normalisation by the batch's own statistics → ReLU → linear, of [noise; one-hot label].

    noise, hidden   widths      classes, features   those of the model's head
    """

    noise: int
    hidden: int
    classes: int
    features: int

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of its tensors, in the order of the vector."""
        inward, h = self.noise + self.classes, self.hidden
        return (h, inward), (h,), (h,), (self.features, h), (self.features,)

    @property
    def size(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes)

    def drawn(self, rng: np.random.Generator) -> Vector:
        """(p,) new weights: linear layers uniform in ± 1 / √inputs, the normalisation 1 and 0."""
        into, scale, shift, out, bias = self.shapes
        first, last = 1 / math.sqrt(into[1]), 1 / math.sqrt(out[1])
        pieces = [
            rng.uniform(-first, first, math.prod(into)),
            np.ones(math.prod(scale)),
            np.zeros(math.prod(shift)),
            rng.uniform(-last, last, math.prod(out)),
            rng.uniform(-last, last, math.prod(bias)),
        ]
        return np.concatenate(pieces).astype(np.float32)

    def __call__(self, weights: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        """(n, features) for noise (n, noise) and labels (n,), n ≥ 2; differentiable in the weights (p,)."""
        import torch
        from torch.nn import functional as F

        at, tensors = 0, []
        for shape in self.shapes:
            tensors.append(weights[at : at + math.prod(shape)].view(shape))
            at += math.prod(shape)
        into, scale, shift, out, bias = tensors
        asked = F.one_hot(labels, self.classes).to(noise.dtype)
        hidden = torch.cat([noise, asked], dim=1) @ into.T  # its bias would be taken out by the normalisation
        mean, variance = hidden.mean(0), hidden.var(0, unbiased=False)
        hidden = torch.relu((hidden - mean) / torch.sqrt(variance + 1e-5) * scale + shift)
        return hidden @ out.T + bias
