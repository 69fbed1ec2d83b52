"""8: what stays of a client from round to round, by regression of released sums on who was in them.

An update is a part that persists and noise. Over random cohorts the persistent parts of all clients are found in the
end; over whole lots only each lot's mean is. What is measured is the cosine with a client's own part less its lot's
mean, which no function of lot means can have.
"""

from __future__ import annotations

import numpy as np

from disue.core.checks import Float64
from disue.core.lots import Lots
from disue.core.streams import Streams
from disue.secure.check.histograms import cohort_sets
from disue.secure.check.row import Row

CLIENTS, LOT, PERSISTENT = 100, 5, 0.6


def regression(streams: Streams, quick: bool = False) -> list[Row]:
    d, rounds = (100, 150) if quick else (500, 200)
    rng = streams("regression")
    lots = Lots.cut(np.arange(CLIENTS, dtype=np.int64), LOT, streams)
    own = np.sqrt(PERSISTENT) * rng.normal(size=(CLIENTS, d))
    member = np.array([lots.of == lot for lot in range(lots.count)], np.float64)
    apart = own - (member / lots.sizes()[:, None]).T @ (member @ own) * 1.0
    drawn = np.concatenate([member[rng.choice(lots.count, 4, replace=False)] for _ in range(rounds)])
    random = cohort_sets(rng, rng.integers(0, 4, CLIENTS), rounds, 20, 3)
    found, control = (_found(sets, own, apart, rng) for sets in (drawn, random))
    return [
        Row("8", f"a client's own part of its updates after {rounds} rounds of whole lots: cosine", found,
            "within ±0.03", abs(found) <= 0.03, "random cohorts, floor 3", control, "> 0.6", control > 0.6)
    ]  # fmt: skip


def _found(sets: Float64, own: Float64, apart: Float64, rng: np.random.Generator) -> float:
    """Mean cosine of the ridge estimate with what is a client's alone."""
    sums = sets @ own + np.sqrt(sets.sum(axis=1) * (1 - PERSISTENT))[:, None] * rng.normal(
        size=(len(sets), own.shape[1])
    )
    estimate = np.linalg.solve(sets.T @ sets + np.eye(sets.shape[1]), sets.T @ sums)
    lengths = np.linalg.norm(estimate, axis=1) * np.linalg.norm(apart, axis=1)
    return float(((estimate * apart).sum(axis=1) / np.maximum(lengths, 1e-12)).mean())
