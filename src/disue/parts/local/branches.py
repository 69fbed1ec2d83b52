"""Local training of a model of two branches whose logits are added (CAM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from disue.core.clients import Phase
from disue.core.errors import unknown
from disue.core.layout import OWN, SHARED
from disue.parts.local.erm import Erm, Fit

ORDERS = ("shared-first", "own-first", "together")


@dataclass(frozen=True)
class Branches(Erm):
    """`Erm` on an additive model: a branch that all clients share, and one of the client's group.

    order  "shared-first": the shared branch is trained while the own one is held, then the own one while the shared one
           is held, each for all epochs (or steps) on the loss of the sum, so that it fits what the other leaves;
           "own-first": the other way round; "together": both at once, which is `Erm`, bit for bit
    """

    order: str = "shared-first"
    additive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in ORDERS:
            raise unknown("local.order", self.order, ORDERS)

    @property
    def phases(self) -> tuple[Phase, ...]:
        if self.order == "together":
            return super().phases
        parts = (SHARED, OWN) if self.order == "shared-first" else (OWN, SHARED)
        return tuple(Fit(self.sgd, self.loss, trains=part) for part in parts)
