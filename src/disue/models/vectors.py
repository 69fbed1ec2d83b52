"""Linear layers on the flattened input, whatever its shape."""

from __future__ import annotations

import math

from torch import nn

from disue.models.chain import Chain
from disue.models.table import fit


class Mlp(Chain):
    """A multilayer perceptron; with no hidden layer it is multinomial logistic regression."""

    def __init__(self, shape: tuple[int, ...], classes: int, hidden: tuple[int, ...] = (64, 64)) -> None:
        fit("mlp", shape, classes)
        layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
        inward = math.prod(shape)
        for index, units in enumerate(hidden, start=1):
            layers[f"fc{index}"] = nn.Linear(inward, units)
            layers[f"relu{index}"] = nn.ReLU()
            inward = units
        super().__init__(layers, nn.Linear(inward, classes))
