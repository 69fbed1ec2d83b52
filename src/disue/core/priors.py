"""A client's own label shares as an addition to logits: the one correction that serving and training share."""

from __future__ import annotations

import numpy as np

from disue.core.checks import Array, Float64

SMOOTHING = 0.01


def log_shares(shares: Array, smooth: float = SMOOTHING) -> Float64:
    """log((p + smooth) / (1 + smooth · classes)) of label shares (…, classes).

    A zero share would be −∞ without smoothing, and a client of one class would then have no gradient.

    >>> log_shares(np.array([0.75, 0.25]), 0.5).round(4).tolist()
    [-0.47, -0.9808]
    """
    out: Float64 = np.log((shares + smooth) / (1.0 + smooth * shares.shape[-1]))
    return out
