"""Local training that keeps what the received model says of the classes that are not true (FedNTD)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from disue.core.clients import Batch, Context, Forward, Memory, Order, Phase
from disue.parts.local.erm import MODEL, Erm, Fit, mean_loss, require

if TYPE_CHECKING:
    from torch import Tensor

RECEIVED = "received"


@dataclass(frozen=True)
class NotTrueFit(Fit):
    """`Fit` plus beta · T² · KL(received ‖ trained) over the classes that are not the label."""

    beta: float = 1.0
    temperature: float = 1.0

    @property
    def separable(self) -> bool:
        return True

    def loss(self, forward: Forward, batch: Batch, context: Mapping[str, Tensor]) -> Tensor:
        logits, _ = forward(batch.inputs)
        told, _ = forward(batch.inputs, RECEIVED)
        ours, theirs = ((others(values, batch.labels) / self.temperature).log_softmax(1) for values in (logits, told))
        kept = (theirs.exp() * (theirs - ours)).sum(1).mean()
        return mean_loss(self.criterion)(logits, batch.labels) + self.beta * self.temperature**2 * kept


def others(logits: Tensor, labels: Tensor) -> Tensor:
    """(b, C − 1) the logits without that of the label, which is dropped before any softmax."""
    import torch

    classes = logits.shape[1]
    steps = torch.arange(1, classes, device=logits.device)
    return logits.gather(1, (labels[:, None] + steps) % classes)


@dataclass(frozen=True)
class NotTrue(Erm):
    """`Erm` with distillation of the received model on the classes that are not true.

    beta         weight of the distillation; 0 is `Erm`, bit for bit
    temperature  of both softmaxes
    """

    beta: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require("beta", self.beta, 0 <= self.beta < float("inf"), "≥ 0")
        require("temperature", self.temperature, 0 < self.temperature < float("inf"), "> 0")

    @property
    def phases(self) -> tuple[Phase, ...]:
        if not self.beta:
            return super().phases
        return (NotTrueFit(self.sgd, self.loss, beta=self.beta, temperature=self.temperature),)

    def context(self, order: Order, memory: Memory) -> Context:
        return Context({MODEL: order.start}, {RECEIVED: order.start})
