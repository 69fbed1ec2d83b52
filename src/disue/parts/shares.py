"""How much of a client belongs to each of several groups (FedSoft's importance weights)."""

from __future__ import annotations

import numpy as np

from disue.core.checks import Float64
from disue.core.errors import UserError

SIGMA = 1e-4


def check_sigma(where: str, sigma: float) -> None:
    if not 0.0 < sigma < 1.0:
        raise UserError(f"{where}.sigma must lie in (0, 1), got {sigma}", key=f"{where}.sigma", found=sigma)


def floored(shares: Float64, sigma: float) -> Float64:
    """(…, k) shares with `sigma` in the place of zeros, and a sum of one again.

    >>> floored(np.array([1.0, 0.0]), 0.25).tolist()
    [0.8, 0.2]
    """
    raised = np.where(shares > 0, shares, sigma)
    out: Float64 = raised / raised.sum(axis=-1, keepdims=True)
    return out
