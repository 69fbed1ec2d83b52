"""Local training for a model that is good after a step of adaptation (Per-FedAvg)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from disue.core.clients import Local, Phase, Step
from disue.core.errors import unknown
from disue.parts.local.erm import MODEL, Erm, Fit, require
from disue.parts.local.rule import Rule, received

if TYPE_CHECKING:
    from torch import Tensor

FIRST, FREE = "first-order", "hessian-free"


@dataclass(frozen=True)
class MetaFit(Fit):
    """A step along g = ∇F(w − alpha · ∇F(w; D); D'), and with delta > 0 along g − alpha · H g.

    H g ≈ (∇F(w + delta · g; D'') − ∇F(w − delta · g; D'')) / (2 · delta). D, D', D'' are the next batches in turn.
    """

    alpha: float = 0.01
    delta: float = 0.0

    @property
    def batches(self) -> int:
        return 3 if self.delta else 2

    @property
    def gradients(self) -> int:
        return 4 if self.delta else 2

    def walk(self, step: Step, context: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        w = context[MODEL]
        # not w − 0 · slope: the identity with plain training holds to the bit
        adapted = w - self.alpha * step.slope(w, 0) if self.alpha else w
        way = step.slope(adapted, 1)
        if self.delta and self.alpha:
            ahead, behind = step.slope(w + self.delta * way, 2), step.slope(w - self.delta * way, 2)
            way = way - self.alpha * (ahead - behind) / (2 * self.delta)
        return {MODEL: step.along(MODEL, way)}


@dataclass(frozen=True)
class Meta(Erm):
    """`Erm` whose step is that of a model after a step of rate alpha: on other samples, by the rate lr.

    A step takes two or three batches, so that a pass has as many samples as any, and fewer steps. A client's own model
    is the received one after `adaptation` steps of rate alpha, made anew in every evaluation.

    alpha       rate of the step of adaptation
    order       "first-order": the Hessian is left out; "hessian-free": its product by a finite difference
    delta       length of that difference, in units of the gradient
    adaptation  steps of rate alpha before a client uses the model, each on a batch; 0: it uses what it received
    """

    alpha: float = 0.01
    order: str = FIRST
    delta: float = 1e-3
    adaptation: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require("alpha", self.alpha, 0 <= self.alpha < float("inf"), "≥ 0")
        require("delta", self.delta, 0 < self.delta < float("inf"), "> 0")
        require("adaptation", self.adaptation, self.adaptation >= 0, "≥ 0")
        if self.order not in (FIRST, FREE):
            raise unknown("local.order", self.order, (FIRST, FREE))

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (MetaFit(self.sgd, self.loss, alpha=self.alpha, delta=self.delta if self.order == FREE else 0.0),)

    @property
    def personal(self) -> Local:
        if not self.alpha or not self.adaptation:
            return Rule(received)
        plain = {field.name: getattr(self, field.name) for field in fields(Erm)}
        return Erm(**{**plain, "steps": self.adaptation, "lr": self.alpha, "momentum": 0.0})
