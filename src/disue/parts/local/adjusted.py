"""Logit-adjusted training: the client's own label shares are taken out of the loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from disue.core.clients import Context, Memory, Order, Phase
from disue.core.priors import log_shares
from disue.parts.local.erm import MODEL, Erm, Fit, require

LOG_PRIOR = "log_prior"


@dataclass(frozen=True)
class LogitAdjusted(Erm):
    """`Erm` on logits + log((p + smooth) / (1 + smooth · classes)), p the client's label shares.

    The model itself then carries no label prior of the client's. A client that holds one class alone
    still learns something, because of `smooth`.
    """

    smooth: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        require("smooth", self.smooth, 0 < self.smooth < float("inf"), "> 0")

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Fit(self.sgd, self.loss, offset=LOG_PRIOR),)

    def context(self, order: Order, memory: Memory) -> Context:
        shares = order.labels / max(int(order.labels.sum()), 1)
        prior = log_shares(shares, self.smooth).astype(np.float32)
        return Context({MODEL: order.start}, {LOG_PRIOR: prior})
