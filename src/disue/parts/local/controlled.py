"""Local training with control variates (SCAFFOLD)."""

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

CONTROL = "control"  # down: the server's variate c; in a client's memory: its own, c_i
CHANGE = "control_change"  # up: c_i⁺ − c_i
SHIFT, SERVER = "control_shift", "control_server"


@dataclass(frozen=True)
class ControlledFit(Fit):
    """`Fit` with c − c_i added to the gradient."""

    def correct(self, gradient: Tensor, weights: Tensor, context: Mapping[str, Tensor]) -> Tensor | None:
        return gradient + context[SHIFT]

    def pull(self, context: Mapping[str, Tensor]) -> tuple[float, Tensor] | None:
        return 0.0, context[SHIFT]


@dataclass(frozen=True)
class Controlled(Erm):
    """`Erm` whose gradient is corrected by control variates: g − c_i + c.

    Afterwards c_i⁺ = c_i − c + (start − end) / (steps · lr), the paper's option II. A client that was never
    asked has c_i = 0 and no memory. Momentum is refused: the mean step would then not be lr · gradient.
    """

    keeps: ClassVar[int] = 1  # c_i

    def __post_init__(self) -> None:
        super().__post_init__()
        require("momentum", self.momentum, self.momentum == 0, "0 with control variates")

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (ControlledFit(self.sgd, self.loss),)

    def context(self, order: Order, memory: Memory) -> Context:
        zero = np.zeros_like(order.start)
        c, own = order.extras.get(CONTROL, zero), memory.get(CONTROL, zero)
        return Context({MODEL: order.start}, {SHIFT: c - own, CONTROL: own, SERVER: c})

    def finish(self, ends: Mapping[str, Vector], steps: int, context: Context, order: Order) -> Finished:
        own = context.fixed[CONTROL]
        if not steps:
            change = np.zeros_like(own)
        else:
            slope = (context.trained[MODEL] - ends[MODEL]) / np.float32(steps * self.lr)
            weights = np.zeros(own.size, bool)
            for entry in order.layout.entries:  # tracked statistics have no gradient, so no variate
                weights[order.layout.slices[entry.name]] = entry.kind == "weight"
            change = np.where(weights, slope - context.fixed[SERVER], np.float32(0)).astype(np.float32)
        return Finished(ends[MODEL], {CHANGE: change}, {CONTROL: own + change})
