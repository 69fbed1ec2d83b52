"""The naive loop: what most federated code does. A copy of the model, a data loader and an optimiser a client."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from work import LR, Work


def train(module: nn.Module, inputs: Tensor, labels: Tensor, work: Work) -> nn.Module:
    """One client's epochs, in place: DataLoader, zero_grad, backward, step."""
    module.train()
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=work.batch, shuffle=True)
    optimiser = torch.optim.SGD(module.parameters(), lr=LR)
    for _ in range(work.epochs):
        for batch, wanted in loader:
            optimiser.zero_grad()
            F.cross_entropy(module(batch), wanted).backward()
            optimiser.step()
    return module


def average(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of the clients' states; here all have the same number of samples."""
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}


class Naive:
    """Rounds of FedAvg, one client after the other."""

    def __init__(self, work: Work) -> None:
        self.work, self.module = work, work.module()
        self.inputs, self.labels = work.data()

    def round(self) -> None:
        states = []
        for inputs, labels in zip(self.inputs, self.labels, strict=True):
            client = train(copy.deepcopy(self.module), inputs, labels, self.work)
            states.append(client.state_dict())
        self.module.load_state_dict(average(states))
