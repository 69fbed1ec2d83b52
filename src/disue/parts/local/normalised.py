"""Local training that sends its update per effective step (FedNova)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from disue.core.checks import Vector
from disue.core.clients import Context, Finished, Order
from disue.parts.local.erm import MODEL, Erm

LENGTH = "effective_steps"  # up: a_i, one number


def effective(steps: int, momentum: float) -> float:
    """a = ‖a‖₁: how far `steps` steps with unit gradients go in units of the learning rate.

    Plain SGD: the number of steps. Momentum ρ: (τ − ρ (1 − ρ^τ) / (1 − ρ)) / (1 − ρ).

    >>> effective(3, 0.0), round(effective(2, 0.9), 9)
    (3.0, 2.9)
    """
    if not momentum:
        return float(steps)
    return (steps - momentum * (1 - momentum**steps) / (1 - momentum)) / (1 - momentum)


@dataclass(frozen=True)
class Normalised(Erm):
    """`Erm` that sends start + (end − start) / a and, beside it, a: its effective number of steps.

    Tracked statistics go up as they are.
    """

    def finish(self, ends: Mapping[str, Vector], steps: int, context: Context, order: Order) -> Finished:
        start, a = context.trained[MODEL], effective(steps, self.momentum)
        length = np.array([a], np.float32)
        if not steps:
            return Finished(ends[MODEL], {LENGTH: length})
        end = (start + (ends[MODEL].astype(np.float64) - start) / a).astype(np.float32)
        for entry in order.layout.entries:
            if entry.kind != "weight":
                where = order.layout.slices[entry.name]
                end[where] = ends[MODEL][where]
        return Finished(end, {LENGTH: length})
