"""Local training of a mixture of the received model and one of the client's own (APFL)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from disue.core.checks import Vector
from disue.core.clients import Context, Finished, Local, Memory, Order, Phase, Step
from disue.parts.local.erm import MODEL, Erm, Fit, require
from disue.parts.local.rule import Rule

if TYPE_CHECKING:
    from torch import Tensor

OWN, SHARE = "own", "share"  # in a client's memory: its own model v, and the share α of it in the mixture, (1,)


@dataclass(frozen=True)
class MixedFit(Fit):
    """w ← w − lr · ∇F(w), then v ← v − lr · ∇F(v̄) at v̄ = α v + (1 − α) w, both on one batch.

    adaptive: α ← α − lr · ⟨v − w, ∇F(v̄)⟩, cut to [0, 1], with w as it now stands and v before its step.
    """

    adaptive: bool = True
    batches: ClassVar[int] = 1
    gradients: ClassVar[int] = 2

    def walk(self, step: Step, context: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        v, share = context[OWN], context[SHARE]
        w = step.along(MODEL, step.slope(context[MODEL]))
        mixture = share * v + (1 - share) * w
        slope = step.slope(mixture)
        # the own model's statistics are those of the mixture, which is what is used
        moved = {MODEL: w, OWN: step.along(OWN, slope).where(step.moves, mixture)}
        if self.adaptive:
            moved[SHARE] = (share - self.sgd.lr * (v - w).dot(slope)).clamp(0.0, 1.0)
        return moved


@dataclass(frozen=True)
class Mixed(Erm):
    """`Erm`, and beside it a model v of the client's own, of which it uses α v + (1 − α) · received.

    v is trained by the gradient at the mixture. A client that comes for the first time starts v at the received model.

    alpha     share of its own model in the mixture, at first
    adaptive  the share follows its gradient, client by client; false: it stays
    """

    alpha: float = 0.5
    adaptive: bool = True
    keeps: ClassVar[int] = 2  # v, and α, which is one number

    def __post_init__(self) -> None:
        super().__post_init__()
        require("alpha", self.alpha, 0 <= self.alpha <= 1, "in [0, 1]")

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (MixedFit(self.sgd, self.loss, adaptive=self.adaptive),)

    @property
    def personal(self) -> Local:
        return Rule(self.mixture)

    def mixture(self, order: Order, memory: Memory) -> Vector:
        """The client's own model; the received one where it never trained."""
        if OWN not in memory:
            return order.start
        share = memory[SHARE]
        out: Vector = share * memory[OWN] + (1 - share) * order.start
        return out

    def context(self, order: Order, memory: Memory) -> Context:
        share = memory.get(SHARE, np.full(1, self.alpha, np.float32))
        return Context({MODEL: order.start, OWN: memory.get(OWN, order.start), SHARE: share})

    def finish(self, ends: Mapping[str, Vector], steps: int, context: Context, order: Order) -> Finished:
        return Finished(ends[MODEL], memory={OWN: ends[OWN], SHARE: ends[SHARE]})
