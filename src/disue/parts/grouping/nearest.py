"""Groups around centres: each client belongs to the group whose model is nearest to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.core.checks import Float64, IntVector, Matrix, positions
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import Part
from disue.core.method import Assigned, Info
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World

ITERATIONS = 50  # of k-means at the start; it stops when nobody moves


@dataclass(frozen=True, eq=False)
class Centres:
    """(k, d) the mean ends of the groups' members; (0, d) as long as there is nothing to compare with.

    start  (1, d) the one vector that all started from when they were last compared; (0, d) where starts differ
    """

    models: Matrix
    start: Matrix


@dataclass(frozen=True)
class Nearest:
    """`k` groups; who answers belongs to the nearest centre, and a centre is the mean of its members' ends.

    The first cohort, which starts from one model, is parted by k-means on its updates, with seeds drawn in proportion
    to the squared distance (k-means++). Absent clients keep their group; an empty group keeps its centre. Where all
    start from one vector (an expert with share 1) the centres move along with it: what is compared are then updates,
    as otherwise all would be nearest to the centre that was met last.

    part  of the model that is compared: "whole", "head", or globs over tensor names
    """

    k: int = 2
    part: str = "whole"
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.GRAM, Sight.SUMS})

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"nearest.k must be ≥ 1, got {self.k}", key="nearest.k", found=self.k)

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Part.of(self.part),)

    def init(self, world: World) -> Assigned[Centres]:
        world.layout.mask(self.parts[0])  # a pattern that meets nothing is said now
        return Assigned(Groups.empty(self.k), Centres(none := np.zeros((0, world.layout.d), np.float32), none))

    def survey(self, world: World, round: int) -> IntVector | None:
        return None

    def assign(
        self, world: World, groups: Groups, memory: Centres, orders: Orders, uploads: Uploads, *, survey: bool
    ) -> Assigned[Centres]:
        ids, start = uploads.ids, orders.starts[:0] if orders.origin is None else orders.origin[None, :]
        if memory.start.size and start.size:
            memory = Centres(memory.models + (start - memory.start), start)
        if memory.models.shape[0]:
            distances, centres = self._distances(memory, orders, uploads), memory.models.copy()
            labels = distances.argmin(axis=1)
        else:
            values = uploads.gram(self.parts[0]).among(ids).values
            labels = seeded(values, min(self.k, ids.size), world.streams("nearest", orders.round))
            centres = np.repeat(orders.starts[:1], self.k, axis=0)
        before = groups.at(ids)
        out = groups.assign(dict(zip(ids.tolist(), groups.numbers[labels].tolist(), strict=True)))
        sums = uploads.sums(out)
        origin = np.float32(0.0) if orders.origin is None else orders.origin
        for at in np.flatnonzero(sums.weights > 0).tolist():
            centres[at] = origin + sums.mean(at)
        moved = float((before != out.at(ids)).sum())
        return Assigned(out, Centres(centres, start), Info({"nearest.moved": moved}))

    def _distances(self, memory: Centres, orders: Orders, uploads: Uploads) -> Float64:
        """(n, k) ‖e_i − w_k‖² = ‖Δ_i‖² + 2 Δ_i · (s_i − w_k) + ‖s_i − w_k‖²: inner products are enough."""
        s, ids = orders.starts.shape[0], uploads.ids
        gram = uploads.gram(self.parts[0], np.concatenate([orders.starts, memory.models])).among(ids)
        from_row = orders.which[positions(ids, orders.ids, "nearest"), 0]
        at = np.arange(ids.size)
        own, squares = gram.anchors[from_row, at], np.diag(gram.squares)
        apart = squares[from_row][:, None] - 2 * gram.squares[from_row][:, s:] + squares[None, s:]
        out: Float64 = np.diag(gram.values)[:, None] + 2 * (own[:, None] - gram.anchors[s:].T) + apart
        return out


def seeded(values: Float64, k: int, rng: np.random.Generator) -> IntVector:
    """(n,) labels of k-means on points that are known by their inner products (n, n) alone."""
    squares = np.diag(values)
    seeds = [int(rng.integers(squares.size))]
    nearest = _to_mean(values, np.array(seeds))
    for _ in range(1, k):
        total = nearest.sum()
        drawn = rng.choice(squares.size, p=nearest / total) if total > 0 else rng.integers(squares.size)
        seeds.append(int(drawn))
        nearest = np.minimum(nearest, _to_mean(values, np.array(seeds[-1:])))
    labels = np.stack([_to_mean(values, np.array([seed])) for seed in seeds]).argmin(axis=0)
    for _ in range(ITERATIONS):
        members = [np.flatnonzero(labels == g) for g in range(k)]
        far = np.full(squares.size, np.inf)
        after = np.stack([_to_mean(values, m) if m.size else far for m in members]).argmin(axis=0)
        if np.array_equal(after, labels):
            break
        labels = after
    out: IntVector = labels.astype(np.int64)
    return out


def _to_mean(values: Float64, members: IntVector) -> Float64:
    """(n,) squared distances of all points to the mean of some."""
    inner = values[:, members].mean(axis=1)
    out: Float64 = np.maximum(np.diag(values) - 2 * inner + values[np.ix_(members, members)].mean(), 0.0)
    return out
