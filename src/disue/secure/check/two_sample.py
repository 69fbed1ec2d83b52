"""1: can real sketches be told from draws that know nothing but the cosines?

Updates whose norm sits in few coordinates, sketched by the whole pipeline under fresh seeds; the simulator draws rows
of N(0, K), K their cosines after the CountSketch, onto the same grid. The judges have K too, so they look at rows
whitened by it: the energy distance of the main components, with permutations, and a logistic classifier on lengths and
along many directions. Control: entries ±1 in place of Gaussian ones. On updates that are spread out, ±1 would look
Gaussian as well, so only spiky ones prove anything.
"""

from __future__ import annotations

import numpy as np

from disue.core.checks import Float64
from disue.core.streams import Streams
from disue.secure.check.row import Row, keys
from disue.secure.client.sketch import LIMIT, STEP, Sketcher

CLIENTS, D, M, K = 8, 5000, 1024, 256
SPIKES = 4
DIRECTIONS = 40


def two_sample(streams: Streams, quick: bool = False) -> list[Row]:
    seeds, each, shuffles = (8, 1000, 1999) if quick else (24, 1500, 1999)
    real, simulated, signs = _views(streams, seeds)
    heads = (view[:, :SPIKES] for view in (real, signs))
    chance, control = (energy(head, simulated[:, :SPIKES], each, shuffles, streams) for head in heads)
    guess, told = (classifier(view, simulated, streams) for view in (real, signs))
    wide = 0.5 + 4 * 0.5 / np.sqrt(real.shape[0])
    return [
        Row("1", "sketch against simulator, energy distance: p", chance, "> 0.001", chance > 0.001,
            "entries ±1", control, "≤ 0.01", control <= 0.01),
        Row("1", "sketch against simulator, classifier: right", guess, f"< {wide:.2f}", guess < wide,
            "entries ±1", told, "> 0.7", told > 0.7),
    ]  # fmt: skip


def _views(streams: Streams, seeds: int) -> tuple[Float64, Float64, Float64]:
    """(rows, clients) three times: sketches, rows of N(0, K), sketches with entries ±1; all on the grid, whitened."""
    views: tuple[list[Float64], ...] = ([], [], [])
    for seed in range(seeds):
        rng = streams("two-sample", seed)
        updates = (0.0005 * rng.normal(size=(CLIENTS, D))).astype(np.float32)
        spikes = rng.choice(D, SPIKES, replace=False)
        updates[:, spikes] += rng.normal(size=(CLIENTS, SPIKES))
        sketcher = Sketcher(keys(streams, 1, seed), K, M)
        directions = np.stack([sketcher.direction(update) for update in updates])
        values, vectors = np.linalg.eigh(directions @ directions.T)
        spread = np.sqrt(np.maximum(values, 1e-12))[::-1]
        vectors = vectors[:, ::-1]
        sent: tuple[Float64, ...] = (
            np.stack([sketcher.sketch(update) for update in updates], axis=1).astype(np.float64),
            _grid(rng.normal(size=(K, CLIENTS)) @ (vectors * spread).T),
            _grid(rng.choice([-1.0, 1.0], (K, M)) @ directions.T),
        )
        for view, rows in zip(views, sent, strict=True):
            view.append(rows / STEP @ vectors / spread)
    real, simulated, signs = (np.concatenate(view) for view in views)
    return real, simulated, signs


def _grid(rows: Float64) -> Float64:
    return np.asarray(np.clip(np.rint(STEP * rows), -LIMIT, LIMIT), np.float64)


def energy(one: Float64, other: Float64, each: int, shuffles: int, streams: Streams) -> float:
    """p value of the energy distance of `each` rows of both, by permutations."""
    rng = streams("energy")
    rows = np.concatenate([view[rng.permutation(len(view))[:each]] for view in (one, other)])
    count = len(rows) // 2
    squares = (rows * rows).sum(axis=1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * rows @ rows.T, 0))
    sides = np.ones((shuffles + 1, 2 * count))
    sides[0, count:] = -1
    for side in sides[1:]:
        side[rng.permutation(2 * count)[:count]] = -1
    distances = -np.einsum("si,si->s", sides @ apart, sides)
    return float((distances >= distances[0]).mean())


def classifier(one: Float64, other: Float64, streams: Streams) -> float:
    """Share of rows told rightly by a logistic regression on lengths and directions, judged on the other half."""
    rng = streams("classifier")
    rows = np.concatenate([one, other])
    told = np.repeat([1.0, 0.0], [len(one), len(other)])
    along = rows @ rng.normal(size=(rows.shape[1], DIRECTIONS)) / np.sqrt(rows.shape[1])
    length = np.cumsum(rows**2, axis=1) / np.arange(1, rows.shape[1] + 1)
    parts = (
        np.abs(along),
        along**2,
        np.minimum(along**4, 100),
        np.cos(2 * along),
        length,
        np.exp(-50 * (length - 1) ** 2),
    )
    seen = np.concatenate(parts, axis=1)
    seen = np.concatenate([(seen - seen.mean(0)) / (seen.std(0) + 1e-12), np.ones((len(seen), 1))], 1)
    order = rng.permutation(len(rows))
    train, judge = order[: len(rows) // 2], order[len(rows) // 2 :]
    weights = logistic(seen[train], told[train])
    return float(((seen[judge] @ weights > 0) == (told[judge] == 1)).mean())


def logistic(seen: Float64, told: Float64, ridge: float = 10.0, steps: int = 12) -> Float64:
    """Weights of a ridge logistic regression by Newton's steps."""
    weights = np.zeros(seen.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(seen @ weights, -30, 30)))
        curvature = seen.T @ (seen * (p * (1 - p) + 1e-6)[:, None]) + ridge * np.eye(len(weights))
        weights = weights + np.linalg.solve(curvature, seen.T @ (told - p) - ridge * weights)
    return weights
