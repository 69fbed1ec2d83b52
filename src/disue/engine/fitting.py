"""Which of several vectors fits a client's training data best."""

from __future__ import annotations

import numpy as np

from disue.core.checks import Array, Float64, IntVector, Matrix
from disue.core.world import Network


def losses(network: Network, candidates: Matrix, inputs: Array, labels: IntVector) -> Float64:
    """(c, n) cross-entropy of each sample under each candidate, evaluation mode; +∞ where it is no number."""
    out = np.empty((candidates.shape[0], labels.size))
    for row, vector in enumerate(candidates):
        logits = network.logits(vector, inputs).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            top = logits.max(axis=1)
            spread = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
        out[row] = spread - logits[np.arange(labels.size), labels]
    out[np.isnan(out)] = np.inf
    return out


def chosen(losses: Float64) -> int:
    """The candidate of least mean loss; ties go to the lowest."""
    return int(np.argmin(losses.mean(axis=1)))


def shares(losses: Float64) -> Float64:
    """(c,) for which share of the samples each candidate has the least loss; ties go to the lowest."""
    best = np.argmin(losses, axis=0)
    found: Float64 = np.bincount(best, minlength=losses.shape[0]) / max(losses.shape[1], 1)
    return found
