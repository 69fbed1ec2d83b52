"""Local training that is pulled towards the received model (FedProx)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from disue.core.clients import Context, Memory, Order, Phase
from disue.parts.local.erm import MODEL, Erm, Fit, require

if TYPE_CHECKING:
    from torch import Tensor

RECEIVED = "received"


@dataclass(frozen=True)
class ProximalFit(Fit):
    """`Fit` with mu · (weights − received) added to the gradient: that of mu / 2 · ‖weights − received‖²."""

    mu: float = 0.01

    def correct(self, gradient: Tensor, weights: Tensor, context: Mapping[str, Tensor]) -> Tensor | None:
        return gradient + self.mu * (weights - context[RECEIVED])

    def pull(self, context: Mapping[str, Tensor]) -> tuple[float, Tensor] | None:
        return self.mu, -self.mu * context[RECEIVED]


@dataclass(frozen=True)
class Proximal(Erm):
    """`Erm` with the penalty mu / 2 · ‖weights − received‖².

    mu  strength of the pull; 0 is `Erm`, bit for bit
    """

    mu: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        require("mu", self.mu, 0 <= self.mu < float("inf"), "≥ 0")

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (ProximalFit(self.sgd, self.loss, mu=self.mu),) if self.mu else super().phases

    def context(self, order: Order, memory: Memory) -> Context:
        return Context({MODEL: order.start}, {RECEIVED: order.start})
