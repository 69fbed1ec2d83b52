"""Accuracy on a client's own test distribution: exact from per-class figures, with and without its prior.

Let q be the client's share of each class in its test, acc_y a model's accuracy on class y of the pool.
Then its local accuracy is Σ_y q_y · acc_y: one pass per model serves all clients, and nothing is sampled.
With its own label prior p a client takes argmax of logits / s + log((p + 0.01) / (1 + 0.01 · classes)).
All accuracies are in percent, NaN where a client has no test at all.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from disue.core.checks import Float64, IntMatrix, IntVector, Matrix
from disue.core.priors import log_shares
from disue.evaluation.accuracy import Scored

BLOCK = 2**18  # logits of clients compared at a time: what fits a core's cache
PERCENTILES = {"p10": 10.0, "p50": 50.0, "worst": 0.0}


def shares_of(counts: IntMatrix) -> Float64:
    """Label shares (n, classes) from counts; a row of zeros where nothing was counted."""
    out: Float64 = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return out


def covered(shares: Float64, totals: IntVector) -> Float64:
    """`shares` (n, classes) over the classes that the pool has, renormalised; NaN where none is left."""
    kept = shares * (totals > 0)
    mass = kept.sum(1, keepdims=True)
    out = np.full(kept.shape, np.nan)
    np.divide(kept, mass, out=out, where=mass > 0)
    return out


def proportional(scored: Scored, shares: Float64) -> Float64:
    """(n,) exact local accuracy of one model for clients with test shares (n, classes)."""
    out: Float64 = 100.0 * (covered(shares, scored.totals) @ np.nan_to_num(scored.by_class))
    return out


def with_prior(scored: Scored, shares: Float64, priors: Float64, scale: float = 1.0) -> Float64:
    """(n,) the same when each client adds its own log prior to logits / scale.

    shares, priors (n, classes): test shares and training shares. Only samples of classes that a client is
    tested on are looked at, class by class, in the layout (classes, samples) where a maximum is one sweep.
    """
    by_class = [
        np.ascontiguousarray((scored.logits[scored.labels == c] / np.float32(scale)).T, np.float32)
        for c in range(scored.totals.size)
    ]
    added = log_shares(priors).astype(np.float32)
    weights = covered(shares, scored.totals)
    out = np.full(len(shares), np.nan)
    tested = ~np.isnan(weights[:, 0])
    out[tested] = 0.0
    for c, values in enumerate(by_class):
        who = np.flatnonzero(tested & (weights[:, c] > 0))
        block = max(1, BLOCK // max(values.size, 1))
        for at in range(0, who.size, block):
            some = who[at : at + block]
            out[some] += weights[some, c] * _right(values, added[some], c)
    return 100.0 * out


def _right(values: Matrix, added: Matrix, c: int) -> Float64:
    """(n,) shares of the columns of values (classes, samples) whose first largest row is c; `added` (n, classes)."""
    own = values[c] + added[:, c, None]
    right = np.ones(own.shape, bool)
    for other in range(len(values)):
        if other != c:
            rival = values[other] + added[:, other, None]
            right &= own > rival if other < c else own >= rival
    return np.asarray(right.sum(1) / values.shape[1], np.float64)


def on_own(
    logits: Matrix, y: IntVector, lengths: IntVector, priors: Float64 | None = None, scale: float = 1.0
) -> Float64:
    """(n,) accuracy of clients on their own samples, which follow one another, `lengths` (n,) of each.

    logits (Σ lengths, classes), y (Σ lengths,); priors (n, classes) of training shares, where given.
    """
    if priors is not None:
        added = log_shares(priors).astype(np.float32)
        logits = logits / np.float32(scale) + np.repeat(added, lengths, axis=0)
    owner = np.repeat(np.arange(lengths.size), lengths)
    right = np.bincount(owner[logits.argmax(1) == y], minlength=lengths.size) if y.size else np.zeros(lengths.size)
    out = np.full(lengths.size, np.nan)
    np.divide(right, lengths, out=out, where=lengths > 0)
    return 100.0 * out


def majority(counts: IntMatrix, shares: Float64) -> Float64:
    """(n,) what a constant predictor of each client's most frequent training class gets.

    counts (n, classes) of the training data, shares (n, classes) of the test; ties go to the first class.
    """
    out: Float64 = 100.0 * shares[np.arange(len(counts)), counts.argmax(1)]
    out[~(counts.sum(1) > 0)] = np.nan
    return out


def spread(name: str, values: Float64) -> dict[str, float]:
    """Mean over clients, and `name_p10`, `name_p50`, `name_worst`; nothing where no client has a value."""
    found = values[~np.isnan(values)]
    if not found.size:
        return {}
    out = {name: float(found.mean())}
    for word, at in PERCENTILES.items():
        out[f"{name}_{word}"] = float(np.percentile(found, at))
    return out


def spreads(columns: Mapping[str, Float64]) -> dict[str, float]:
    """`spread` of several columns."""
    out: dict[str, float] = {}
    for name, values in columns.items():
        out.update(spread(name, values))
    return out
