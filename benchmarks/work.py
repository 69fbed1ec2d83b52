"""The workloads that every program here trains, with data anyone can make again. Needs torch and disue's models only.

The models are disue's own, for the baselines and the peers too: pooling stands before the ReLU, which is the same
function at less work. SGD, learning rate 0.05, no momentum, cross-entropy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from disue.models.images import FedavgCnn, Lenet, Tiny
from disue.models.residual import Resnet8

LR, CLASSES = 0.05, 10


@dataclass(frozen=True)
class Work:
    """`clients` clients with `samples` samples each, `epochs` passes a round in batches of `batch`."""

    name: str
    about: str
    model: Callable[[tuple[int, ...], int], nn.Module]
    table: str  # the model's name in disue's table
    shape: tuple[int, ...]
    clients: int
    samples: int
    epochs: int
    batch: int

    def module(self) -> nn.Module:
        """The start model: the same bits for everybody."""
        torch.manual_seed(0)
        return self.model(self.shape, CLASSES)

    def data(self) -> tuple[Tensor, Tensor]:
        """Images (clients, samples, *shape) and labels (clients, samples)."""
        draw = torch.Generator().manual_seed(0)
        inputs = torch.randn(self.clients, self.samples, *self.shape, generator=draw)
        return inputs, torch.randint(0, CLASSES, (self.clients, self.samples), generator=draw)

    @property
    def passes(self) -> int:
        """Samples that go through training in a round."""
        return self.clients * self.samples * self.epochs

    def chunk(self, clients: int, samples: int, epochs: int) -> Work:
        """The same work, less of it."""
        return dataclasses.replace(self, clients=clients, samples=samples, epochs=epochs)

    def __str__(self) -> str:
        return f"{self.about}, {self.clients} × {self.samples} × {self.epochs}, batch {self.batch}"


_W1 = Work("w1b18", "tiny CNN", Tiny, "tiny", (1, 8, 8), 100, 18, 5, 18)
ALL = {
    work.name: work
    for work in (
        _W1,
        dataclasses.replace(_W1, name="w1b10", batch=10),
        Work("w2", "LeNet", Lenet, "lenet", (3, 32, 32), 10, 500, 5, 50),
        Work("w3", "FedAvg CNN", FedavgCnn, "fedavg-cnn", (1, 28, 28), 10, 300, 2, 50),
        Work("r8", "ResNet-8, GroupNorm", Resnet8, "resnet8", (3, 32, 32), 10, 100, 1, 50),
    )
}
# What one measurement of one core trains: fewer clients, so that it can be repeated; a client's work is whole.
CHUNKS = {
    "w1b18": ALL["w1b18"],
    "w1b10": ALL["w1b10"].chunk(100, 18, 2),
    "w2": ALL["w2"].chunk(3, 500, 5),
    "w3": ALL["w3"].chunk(3, 300, 2),
    "r8": ALL["r8"].chunk(5, 100, 1),
}
QUICK = {
    "w1b18": ALL["w1b18"].chunk(50, 18, 2),
    "w2": ALL["w2"].chunk(2, 250, 1),
    "w3": ALL["w3"].chunk(1, 300, 1),
    "r8": ALL["r8"].chunk(1, 100, 1),
}
