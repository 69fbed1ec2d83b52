"""Logit-adjusted training: the client's own label shares are taken out of the loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from disue.core.checks import Array, IntVector
from disue.core.clients import Batch, Context, Forward, Memory, Order, Phase
from disue.parts.local.erm import MODEL, Erm, Fit, mean_loss, require

if TYPE_CHECKING:
    from torch import Tensor

LOG_PRIOR = "log_prior"


@dataclass(frozen=True)
class AdjustedFit(Fit):
    """`Fit` on logits + the log label shares of the context."""

    def loss(self, forward: Forward, batch: Batch, context: Mapping[str, Tensor]) -> Tensor:
        logits, _ = forward(batch.inputs)
        return mean_loss(self.criterion)(logits + context[LOG_PRIOR], batch.labels)


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
        return (AdjustedFit(self.sgd, self.loss),)

    def context(self, order: Order, memory: Memory) -> Context:
        return Context({MODEL: order.start}, {LOG_PRIOR: log_prior(order.labels, self.smooth)})


def log_prior(labels: IntVector, smooth: float) -> Array:
    """log((p + smooth) / (1 + smooth · classes)) of label counts (classes,), float32.

    >>> log_prior(np.array([3, 1]), 0.5).round(4).tolist()
    [-0.47, -0.9808]
    """
    shares = labels / max(int(labels.sum()), 1)
    return np.log((shares + smooth) / (1 + smooth * labels.size)).astype(np.float32)
