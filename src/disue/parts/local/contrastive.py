"""Local training whose features stay near the received model's and leave the client's last one's (MOON)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from disue.core.checks import Vector
from disue.core.clients import Batch, Context, Finished, Forward, Memory, Order, Phase
from disue.parts.local.erm import MODEL, Erm, Fit, mean_loss, require

if TYPE_CHECKING:
    from torch import Tensor

RECEIVED, PREVIOUS = "received", "previous"


@dataclass(frozen=True)
class ContrastiveFit(Fit):
    """`Fit` plus mu · −log( e^{cos(z, z_received)/τ} / (e^{cos(z, z_received)/τ} + e^{cos(z, z_previous)/τ}) )."""

    mu: float = 1.0
    tau: float = 0.5

    @property
    def separable(self) -> bool:
        return True

    def loss(self, forward: Forward, batch: Batch, context: Mapping[str, Tensor]) -> Tensor:
        import torch
        from torch.nn.functional import cosine_similarity

        logits, z = forward(batch.inputs)
        near = cosine_similarity(z, forward(batch.inputs, RECEIVED)[1], dim=1)
        far = cosine_similarity(z, forward(batch.inputs, PREVIOUS)[1], dim=1)
        contrast = -torch.stack([near, far], dim=1).div(self.tau).log_softmax(1)[:, 0]
        return mean_loss(self.criterion)(logits, batch.labels) + self.mu * contrast.mean()


@dataclass(frozen=True)
class Contrastive(Erm):
    """`Erm` with a contrast of the features between the received model and the client's own last one.

    A client that comes for the first time takes the received model for its last one: the contrast has no
    gradient then.

    mu   weight of the contrast; 0 is `Erm`, bit for bit
    tau  temperature of the contrast
    """

    mu: float = 1.0
    tau: float = 0.5
    keeps: ClassVar[int] = 1  # its last end

    def __post_init__(self) -> None:
        super().__post_init__()
        require("mu", self.mu, 0 <= self.mu < float("inf"), "≥ 0")
        require("tau", self.tau, 0 < self.tau < float("inf"), "> 0")

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (ContrastiveFit(self.sgd, self.loss, mu=self.mu, tau=self.tau),) if self.mu else super().phases

    def context(self, order: Order, memory: Memory) -> Context:
        return Context({MODEL: order.start}, {RECEIVED: order.start, PREVIOUS: memory.get(PREVIOUS, order.start)})

    def finish(self, ends: Mapping[str, Vector], steps: int, context: Context, order: Order) -> Finished:
        return Finished(ends[MODEL], memory={PREVIOUS: ends[MODEL]})
