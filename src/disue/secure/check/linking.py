"""2, 3: can clients be found again in the next round by what they sent?

By the content of sketches they can if a seed is used twice, and not otherwise. By their row of the cosines they
partly can in any case: the cosines are what the server is meant to have. That is reported.
"""

from __future__ import annotations

import numpy as np

from disue.core.checks import Float64, Matrix
from disue.core.streams import Streams
from disue.secure.check.row import Row, keys
from disue.secure.client.sketch import Sketcher
from disue.secure.wire.estimate import cosines

CLIENTS, D, M, K = 50, 2000, 4096, 256


def by_content(streams: Streams, quick: bool = False) -> list[Row]:
    repeats, persistence = (4 if quick else 20), 0.6
    fresh, again = [], []
    for repeat in range(repeats):
        first, second = _rounds(streams, repeat, persistence)
        one = Sketcher(keys(streams, 2, repeat), K, M)
        two = Sketcher(keys(streams, 3, repeat), K, M)
        sent = _sketches(one, first)
        fresh.append(_matched(sent @ _sketches(two, second).T))
        again.append(_matched(sent @ _sketches(one, second).T))
    found, control = float(np.mean(fresh)), float(np.mean(again))
    most = 1 / CLIENTS + 4 * np.sqrt(1 / CLIENTS / (CLIENTS * repeats))
    return [
        Row("2", "clients found again by their sketches", found, f"≤ {most:.3f} (chance 0.02)", found <= most,
            "a seed used twice", control, "≥ 0.99", control >= 0.99)
    ]  # fmt: skip


def by_profile(streams: Streams, quick: bool = False) -> list[Row]:
    rows = []
    for k in (256,) if quick else (256, 4096):
        found = []
        for repeat in range(2 if quick else 5):
            first, second = _rounds(streams, 100 + repeat, 0.99)
            profiles = []
            for at, updates in enumerate((first, second)):
                sketcher = Sketcher(keys(streams, 4 + at, repeat, k), k, M)
                profiles.append(np.sort(cosines(np.stack([sketcher.sketch(update) for update in updates])), axis=1))
            apart = ((profiles[0][:, None] - profiles[1][None]) ** 2).sum(axis=2)
            found.append(_matched(-apart))
        name = f"clients found again by their cosines, k = {k}, updates that hardly change"
        rows.append(Row("3", name, float(np.mean(found)), "reported (chance 0.02)", None))
    return rows


def _rounds(streams: Streams, repeat: int, persistence: float) -> tuple[Matrix, Matrix]:
    """(clients, d) updates of two rounds with this cosine between a client's two; groups of uneven size."""
    rng = streams("linking", repeat)
    of = np.repeat(np.arange(4), [25, 15, 8, 2])
    strength = rng.uniform(0.3, 0.8, CLIENTS)[:, None]
    own = strength * rng.normal(size=(4, D))[of] + np.sqrt(1 - strength**2) * rng.normal(size=(CLIENTS, D))
    noise = rng.normal(size=own.shape)
    later = persistence * own + np.sqrt(1 - persistence**2) * noise
    return own.astype(np.float32), later.astype(np.float32)


def _sketches(sketcher: Sketcher, updates: Matrix) -> Float64:
    return np.stack([sketcher.sketch(update) for update in updates]).astype(np.float64)


def _matched(likeness: Float64) -> float:
    """Share of clients whose most like one in the other round is themselves."""
    return float((likeness.argmax(axis=1) == np.arange(len(likeness))).mean())
