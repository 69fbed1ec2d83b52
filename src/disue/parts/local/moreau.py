"""Local training on the Moreau envelope of the client's loss (pFedMe)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from disue.core.checks import Vector
from disue.core.clients import Context, Finished, Local, Memory, Order, Phase, Step
from disue.parts.local.erm import MODEL, Erm, Fit, require
from disue.parts.local.rule import Rule

if TYPE_CHECKING:
    from torch import Tensor

THETA = "theta"  # in a client's memory: its own model θ


@dataclass(frozen=True)
class MoreauFit(Fit):
    """inner times θ ← θ − own_lr · (∇F(θ) + tether · (θ − w)), on one batch; then w ← w − lr · tether · (w − θ)."""

    tether: float = 15.0
    inner: int = 5
    own_lr: float = 0.1
    batches: ClassVar[int] = 1

    @property
    def gradients(self) -> int:
        return self.inner

    def walk(self, step: Step, context: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        theta, w = context[THETA], context[MODEL]
        for _ in range(self.inner):
            way = step.slope(theta) + self.tether * (theta - w)
            theta = (theta - self.own_lr * way).where(step.moves, theta)
        # statistics have no envelope: those that go up are what θ has seen
        return {MODEL: step.along(MODEL, self.tether * (w - theta)).where(step.moves, theta), THETA: theta}


@dataclass(frozen=True)
class Moreau(Erm):
    """A model θ of the client's own near the shared one w, which moves towards it; of both, w goes up.

    A step takes one batch: θ goes `inner` steps down F(θ) + tether / 2 · ‖θ − w‖², then w goes a step of rate lr down
    the envelope, whose gradient is tether · (w − θ). θ starts at the received model and goes on from batch to batch.
    Momentum is that of w; weight decay and clipping are of the gradients at θ. lr · tether must not pass 1.

    tether  strength λ of the pull between θ and w
    inner   steps of θ on each batch
    own_lr  rate of these steps
    """

    lr: float = 0.005
    tether: float = 15.0
    inner: int = 5
    own_lr: float = 0.1
    keeps: ClassVar[int] = 1  # θ

    def __post_init__(self) -> None:
        super().__post_init__()
        require("tether", self.tether, 0 <= self.tether < float("inf"), "≥ 0")
        require("inner", self.inner, self.inner >= 1, "≥ 1")
        require("own_lr", self.own_lr, 0 < self.own_lr < float("inf"), "> 0")
        most = f"at most 1 / local.tether, which is {1 / self.tether:.4g}" if self.tether else ""
        require("lr", self.lr, self.lr * self.tether <= 1 + 1e-9, most)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (MoreauFit(self.sgd, self.loss, tether=self.tether, inner=self.inner, own_lr=self.own_lr),)

    @property
    def personal(self) -> Local:
        return Rule(own)

    def context(self, order: Order, memory: Memory) -> Context:
        return Context({MODEL: order.start, THETA: order.start})

    def finish(self, ends: Mapping[str, Vector], steps: int, context: Context, order: Order) -> Finished:
        return Finished(ends[MODEL], memory={THETA: ends[THETA]})


def own(order: Order, memory: Memory) -> Vector:
    """The client's own model; the received one where it never trained."""
    return memory.get(THETA, order.start)
