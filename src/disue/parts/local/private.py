"""Local training with entries that stay at the client (FedPer, FedBN, FedRep)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from disue.core.checks import Mask, Vector
from disue.core.clients import Context, Finished, Local, Memory, Order, Phase
from disue.core.errors import UserError
from disue.core.layout import BODY, EVERYTHING, HEAD, Layout, Part
from disue.parts.local.erm import MODEL, Erm, Fit, require
from disue.parts.local.rule import Rule

if TYPE_CHECKING:
    from typing import Self

OWN = "own"  # in a client's memory: its private entries, in the order of the vector


@dataclass(frozen=True)
class Private(Erm):
    """`Erm` from the received vector with the client's own entries in it; of these nothing goes up.

    A client's own model is the same: what it received, with its own entries. Where nothing is private it is `Erm`,
    bit for bit. Sums are about the received vector, so the server's private entries stay at their first values.
    """

    keeps: ClassVar[int] = 1  # its own entries: a vector at most

    def private(self, layout: Layout) -> Mask:
        return np.zeros(layout.d, bool)

    @property
    def personal(self) -> Local:
        return Rule(self.own)

    def own(self, order: Order, memory: Memory) -> Vector:
        """What a client received, with its own entries where it has some."""
        if OWN not in memory:
            return order.start
        start = order.start.copy()
        start[self.private(order.layout)] = memory[OWN]
        return start

    def context(self, order: Order, memory: Memory) -> Context:
        return Context({MODEL: self.own(order, memory)})

    def finish(self, ends: Mapping[str, Vector], steps: int, context: Context, order: Order) -> Finished:
        mine, end = self.private(order.layout), ends[MODEL]
        if not mine.any():
            return Finished(end)
        return Finished(np.where(mine, order.start, end), memory={OWN: end[mine]})


@dataclass(frozen=True)
class PrivatePart(Private):
    """`Erm` with tensors that stay at the client (FedPer).

    kept  those tensors, statistics included: "head", "body", "whole", or names and globs with commas between;
          empty: none, which is `Erm`, bit for bit
    """

    kept: str = "head"

    def private(self, layout: Layout) -> Mask:
        if not self.kept:
            return super().private(layout)
        return layout.mask(replace(Part.of(self.kept), kind=EVERYTHING.kind))

    def check(self, layout: Layout) -> None:
        self.private(layout)


@dataclass(frozen=True)
class PrivateNorm(Private):
    """`Erm` with batch normalisation that stays at the client: scale, shift and statistics (FedBN).

    It is found by the type of the module that owns a tensor, not by name.
    """

    def private(self, layout: Layout) -> Mask:
        if not _normalised(layout):
            return super().private(layout)
        return layout.mask(Part(("@type:*BatchNorm*",), EVERYTHING.kind))

    def check(self, layout: Layout) -> None:
        if not _normalised(layout):
            raise UserError(
                "model: has no batch normalisation that could stay at the clients; take one that has, for example "
                'name = "resnet8" with norm = "batch"',
                key="model",
            )


def _normalised(layout: Layout) -> bool:
    return any("BatchNorm" in entry.module for entry in layout.entries)


@dataclass(frozen=True)
class HeadFirst(Private):
    """The head, which stays at the client, is trained on the body as received; then the body under that head (FedRep).

    The head takes epochs − body_epochs passes over the data, and one at least; the body takes body_epochs after them.
    The body's statistics stand still while the head is trained. A newcomer's one epoch goes to the head.

    body_epochs  passes in which the body moves
    """

    body_epochs: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require("steps", self.steps, self.steps == 0, "0 where the head is trained first, since its phases are epochs")
        allowed = f"in 0 … {self.epochs}, the epochs in all"
        require("body_epochs", self.body_epochs, 0 <= self.body_epochs <= self.epochs, allowed)

    def private(self, layout: Layout) -> Mask:
        return layout.mask(HEAD)

    @property
    def phases(self) -> tuple[Phase, ...]:
        head = replace(self.sgd, epochs=max(self.epochs - self.body_epochs, min(self.epochs, 1)))
        body = replace(self.sgd, epochs=self.body_epochs)
        return (Fit(head, self.loss, trains=HEAD), Fit(body, self.loss, trains=BODY))

    def brief(self, epochs: int) -> Self:
        return replace(self, epochs=epochs, body_epochs=min(self.body_epochs, max(epochs - 1, 0)))
