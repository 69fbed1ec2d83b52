"""Local training that is pulled towards all groups' models at once (FedSoft)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from disue.core.checks import Vector
from disue.core.clients import Context, Local, Memory, Order
from disue.parts.local.erm import MODEL
from disue.parts.local.proximal import RECEIVED, Proximal
from disue.parts.local.rule import Rule
from disue.parts.shares import SIGMA, check_sigma, floored


@dataclass(frozen=True)
class SoftProximal(Proximal):
    """`Erm` with the penalty mu / 2 · Σ_s u_s ‖weights − model_s‖² over the groups' models, u the client's shares.

    Its gradient is that of a pull towards Σ_s u_s model_s. A client's own model is the one it goes on from.

    mu     strength of the pull; 0 is `Erm`, bit for bit
    sigma  the share that stands for none
    """

    mu: float = 0.1
    sigma: float = SIGMA

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sigma("local", self.sigma)

    @property
    def personal(self) -> Local:
        return Rule(kept)

    def context(self, order: Order, memory: Memory) -> Context:
        return Context({MODEL: order.start}, {RECEIVED: self.centre(order)})

    def centre(self, order: Order) -> Vector:
        """(d,) Σ_s u_s model_s."""
        shares = floored(order.shares, self.sigma)
        total = np.zeros(order.candidates.shape[1])
        for share, model in zip(shares, order.candidates, strict=True):
            total += share * model.astype(np.float64)
        return total.astype(np.float32)


def kept(order: Order, memory: Memory) -> Vector:
    """What a client goes on from: its own last end, or what it received where it never trained."""
    return order.start
