"""6: label histograms of single clients from the sums that were released over many rounds.

Each sum over a group of a random cohort is one equation in the counts of all clients, which are few, whole and not
negative: non-negative least squares finds them. Lots give no new equations from round to round.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from disue.core.checks import Float64, IntMatrix, IntVector
from disue.core.lots import Lots
from disue.core.streams import Streams
from disue.secure.check.row import Row

CLIENTS, CLASSES, GROUPS, SAMPLES = 100, 10, 4, 500


def histograms(streams: Streams, quick: bool = False) -> list[Row]:
    rounds, epochs, size = 60, 2, 10
    repeats = 1 if quick else 3
    told: dict[str, list[tuple[float, float]]] = {"lots": [], "cohorts": []}
    for repeat in range(repeats):
        rng = streams("histograms", repeat)
        counts = dirichlet_counts(rng, CLIENTS, CLASSES, SAMPLES, 0.1)
        groups = rng.integers(0, GROUPS, CLIENTS)
        told["lots"].append(recovered(lot_sets(streams, repeat, epochs, size), counts))
        told["cohorts"].append(recovered(cohort_sets(rng, groups, rounds, 20, 3), counts))
    exact, majority = np.mean(told["lots"], axis=0)
    whole, named = np.mean(told["cohorts"], axis=0)
    off = f"random cohorts, floor 3, {rounds} rounds"
    within = f"{epochs} epochs of lots of {size}"
    return [
        Row("6", f"label histograms recovered exactly, {within}", float(exact), "0", exact == 0,
            off, float(whole), "> 0.9", whole > 0.9),
        Row("6", f"majority class named, {within}", float(majority), "< 0.35 (chance 0.1)", majority < 0.35,
            off, float(named), "> 0.9", named > 0.9),
    ]  # fmt: skip


def dirichlet_counts(rng: np.random.Generator, clients: int, classes: int, samples: int, alpha: float) -> IntMatrix:
    """(clients, classes) samples of each class."""
    shares = rng.dirichlet(np.full(classes, alpha), clients)
    return np.stack([rng.multinomial(samples, share) for share in shares]).astype(np.int64)


def cohort_sets(rng: np.random.Generator, groups: IntVector, rounds: int, cohort: int, floor: int) -> Float64:
    """(sums, clients) who was in each sum: groups of a random cohort that reach the floor."""
    sets = []
    for _ in range(rounds):
        asked = rng.choice(len(groups), cohort, replace=False)
        for group in np.unique(groups):
            members = asked[groups[asked] == group]
            if members.size >= floor:
                sets.append(np.isin(np.arange(len(groups)), members))
    return np.array(sets, np.float64)


def lot_sets(streams: Streams, repeat: int, epochs: int, size: int) -> Float64:
    """(sums, clients) who was in each sum: the lots of some epochs, cut anew in each."""
    ids = np.arange(CLIENTS, dtype=np.int64)
    sets = []
    for epoch in range(epochs):
        lots = Lots.cut(ids, size, Streams(streams.key("lots", repeat, epoch)))
        sets += [np.isin(ids, lots.members(lot)) for lot in range(lots.count)]
    return np.array(sets, np.float64)


def recovered(sets: Float64, counts: IntMatrix) -> tuple[float, float]:
    """(share of clients whose whole histogram is found, share whose majority class is)."""
    guess = np.stack([nnls(sets, sets @ counts[:, label])[0] for label in range(counts.shape[1])], axis=1)
    exact = (np.rint(guess) == counts).all(axis=1)
    return float(exact.mean()), float((guess.argmax(axis=1) == counts.argmax(axis=1)).mean())
