"""Local training of a second, personal vector that is pulled towards the received model (Ditto)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from disue.core.checks import Vector
from disue.core.clients import Context, Finished, Local, Memory, Order, Phase
from disue.parts.local.erm import MODEL, Erm, Fit, require
from disue.parts.local.proximal import RECEIVED, ProximalFit
from disue.parts.local.rule import Rule

PERSONAL = "personal"  # in a client's memory: its own model


@dataclass(frozen=True)
class Tethered(Erm):
    """`Erm`, and beside it a model of the client's own: g(v) + tether · (v − received), on the same batches.

    A client that comes for the first time starts its own model at the received one.

    tether  strength of the pull; 0: the client's own model is trained as if it were alone
    """

    tether: float = 1.0
    keeps: ClassVar[int] = 1  # its own model

    def __post_init__(self) -> None:
        super().__post_init__()
        require("tether", self.tether, 0 <= self.tether < float("inf"), "≥ 0")

    @property
    def phases(self) -> tuple[Phase, ...]:
        own = ProximalFit(self.sgd, self.loss, PERSONAL, mu=self.tether)
        return (Fit(self.sgd, self.loss), own if self.tether else Fit(self.sgd, self.loss, PERSONAL))

    @property
    def personal(self) -> Local:
        return Rule(own)

    def context(self, order: Order, memory: Memory) -> Context:
        return Context({MODEL: order.start, PERSONAL: own(order, memory)}, {RECEIVED: order.start})

    def finish(self, ends: Mapping[str, Vector], steps: int, context: Context, order: Order) -> Finished:
        return Finished(ends[MODEL], memory={PERSONAL: ends[PERSONAL]})


def own(order: Order, memory: Memory) -> Vector:
    """The client's own model; the received one where it never trained."""
    return memory.get(PERSONAL, order.start)
