"""Convolutional networks for images (channels, height, width). Pooling comes before the ReLU."""

from __future__ import annotations

from torch import nn

from disue.models.chain import Chain
from disue.models.table import fit


class Tiny(Chain):
    """Two 3×3 convolutions, each pooled by 2; the head sits on the last maps. 1,898 weights at 1×8×8."""

    def __init__(self, shape: tuple[int, ...], classes: int, width: int = 8) -> None:
        fit("tiny", shape, classes)
        channels, height, breadth = shape
        layers = {
            "conv1": nn.Conv2d(channels, width, 3, padding=1),
            "pool1": nn.MaxPool2d(2),
            "relu1": nn.ReLU(),
            "conv2": nn.Conv2d(width, 2 * width, 3, padding=1),
            "pool2": nn.MaxPool2d(2),
            "relu2": nn.ReLU(),
            "flatten": nn.Flatten(),
        }
        super().__init__(layers, nn.Linear(2 * width * (height // 4) * (breadth // 4), classes))


class Cnn(Chain):
    """`Tiny` with a hidden layer between maps and head. 67,642 weights at 3×32×32."""

    def __init__(self, shape: tuple[int, ...], classes: int, width: int = 8, hidden: int = 64) -> None:
        fit("cnn", shape, classes)
        channels, height, breadth = shape
        layers = {
            "conv1": nn.Conv2d(channels, width, 3, padding=1),
            "pool1": nn.MaxPool2d(2),
            "relu1": nn.ReLU(),
            "conv2": nn.Conv2d(width, 2 * width, 3, padding=1),
            "pool2": nn.MaxPool2d(2),
            "relu2": nn.ReLU(),
            "flatten": nn.Flatten(),
            "fc1": nn.Linear(2 * width * (height // 4) * (breadth // 4), hidden),
            "relu3": nn.ReLU(),
        }
        super().__init__(layers, nn.Linear(hidden, classes))


class Lenet(Chain):
    """LeNet-5 with ReLU and max pooling. 62,006 weights at 3×32×32.

    Images smaller than 32 are padded by 2 in the first convolution, so that 28×28 meets the same layers.
    """

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        fit("lenet", shape, classes)
        channels, height, breadth = shape
        pad = 2 if min(height, breadth) < 32 else 0
        rows, columns = (((side + 2 * pad - 4) // 2 - 4) // 2 for side in (height, breadth))
        layers = {
            "conv1": nn.Conv2d(channels, 6, 5, padding=pad),
            "pool1": nn.MaxPool2d(2),
            "relu1": nn.ReLU(),
            "conv2": nn.Conv2d(6, 16, 5),
            "pool2": nn.MaxPool2d(2),
            "relu2": nn.ReLU(),
            "flatten": nn.Flatten(),
            "fc1": nn.Linear(16 * rows * columns, 120),
            "relu3": nn.ReLU(),
            "fc2": nn.Linear(120, 84),
            "relu4": nn.ReLU(),
        }
        super().__init__(layers, nn.Linear(84, classes))


class FedavgCnn(Chain):
    """The CNN of the FedAvg paper (McMahan et al., AISTATS 2017). 1,663,370 weights at 1×28×28."""

    def __init__(self, shape: tuple[int, ...], classes: int, hidden: int = 512) -> None:
        fit("fedavg-cnn", shape, classes)
        channels, height, breadth = shape
        layers = {
            "conv1": nn.Conv2d(channels, 32, 5, padding=2),
            "pool1": nn.MaxPool2d(2),
            "relu1": nn.ReLU(),
            "conv2": nn.Conv2d(32, 64, 5, padding=2),
            "pool2": nn.MaxPool2d(2),
            "relu2": nn.ReLU(),
            "flatten": nn.Flatten(),
            "fc1": nn.Linear(64 * (height // 4) * (breadth // 4), hidden),
            "relu3": nn.ReLU(),
        }
        super().__init__(layers, nn.Linear(hidden, classes))
