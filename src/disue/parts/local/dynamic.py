"""Local training with a dynamic regulariser (FedDyn)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from disue.core.checks import Vector
from disue.core.clients import Context, Finished, Memory, Order, Phase
from disue.parts.local.erm import MODEL, Erm, Fit, require

if TYPE_CHECKING:
    from torch import Tensor

DRIFT = "drift"  # in a client's memory: q_i = −h_i / α, the sum of its updates so far
RECEIVED = "received"


@dataclass(frozen=True)
class DynamicFit(Fit):
    """`Fit` with −h_i + α (weights − received) added to the gradient, h_i = −α q_i."""

    alpha: float = 0.1

    def correct(self, gradient: Tensor, weights: Tensor, context: Mapping[str, Tensor]) -> Tensor | None:
        return gradient + self.alpha * (weights - context[RECEIVED] + context[DRIFT])

    def pull(self, context: Mapping[str, Tensor]) -> tuple[float, Tensor] | None:
        return self.alpha, self.alpha * (context[DRIFT] - context[RECEIVED])


@dataclass(frozen=True)
class Dynamic(Erm):
    """`Erm` with the loss −⟨h_i, w⟩ + α / 2 · ‖w − received‖².

    Afterwards h_i ← h_i − α (end − received). A client that was never asked has h_i = 0 and no memory.

    alpha  strength; 0 is `Erm`, bit for bit
    """

    alpha: float = 0.1
    keeps: ClassVar[int] = 1  # q_i

    def __post_init__(self) -> None:
        super().__post_init__()
        require("alpha", self.alpha, 0 <= self.alpha < float("inf"), "≥ 0")

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (DynamicFit(self.sgd, self.loss, alpha=self.alpha),) if self.alpha else super().phases

    def context(self, order: Order, memory: Memory) -> Context:
        own = memory.get(DRIFT, np.zeros_like(order.start))
        return Context({MODEL: order.start}, {RECEIVED: order.start, DRIFT: own})

    def finish(self, ends: Mapping[str, Vector], steps: int, context: Context, order: Order) -> Finished:
        if not self.alpha:
            return Finished(ends[MODEL])
        moved = ends[MODEL] - context.trained[MODEL]
        for entry in order.layout.entries:  # tracked statistics have no gradient, so no regulariser
            if entry.kind != "weight":
                moved[order.layout.slices[entry.name]] = 0
        return Finished(ends[MODEL], memory={DRIFT: context.fixed[DRIFT] + moved})
