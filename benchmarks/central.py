"""The centralised loop: one model on everybody's samples, the same number of passes at the same batch size."""

from __future__ import annotations

import plain
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from work import LR, Work

Parts = tuple[Tensor, Tensor]


def pooled(work: Work) -> Parts:
    """All samples of all clients."""
    inputs, labels = work.data()
    return inputs.flatten(0, 1), labels.flatten()


class Plain:
    """DataLoader and torch.optim.SGD."""

    def __init__(self, work: Work) -> None:
        self.work, self.module = work, work.module()
        self.inputs, self.labels = pooled(work)

    def round(self) -> None:
        plain.train(self.module, self.inputs, self.labels, self.work)


class Lean:
    """One gather a pass, gradients by autograd.grad, one foreach addition a step.

    channels_last  weights and data lie with the channels innermost, as disue's fast backends have them
    """

    def __init__(self, work: Work, *, channels_last: bool) -> None:
        self.work, self.last = work, channels_last
        module = work.module().train()
        self.module: nn.Module = module.to(memory_format=torch.channels_last) if channels_last else module
        self.weights = list(self.module.parameters())
        inputs, self.labels = pooled(work)
        self.inputs = inputs.permute(0, 2, 3, 1).contiguous() if channels_last else inputs

    def round(self) -> None:
        for _ in range(self.work.epochs):
            order = torch.randperm(len(self.labels))
            for at in range(0, len(order), self.work.batch):
                rows = order[at : at + self.work.batch]
                batch, wanted = self.inputs.index_select(0, rows), self.labels.index_select(0, rows)
                if self.last:
                    batch = batch.permute(0, 3, 1, 2)
                slopes = torch.autograd.grad(F.cross_entropy(self.module(batch), wanted), self.weights)
                with torch.no_grad():
                    torch._foreach_add_(self.weights, slopes, alpha=-LR)
