"""Groups around centres: each client belongs to the group whose model is nearest to its end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from disue.core.checks import Float64, IntVector, Matrix, positions
from disue.core.errors import UserError
from disue.core.groups import UNKNOWN, Groups
from disue.core.layout import Part
from disue.core.method import Assigned, Info
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World
from disue.parts.grouping.kmeans import best, seeded

CENTRES = ("kept", "round")


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

    part     of the model that is compared: "whole", "head", or globs over tensor names
    centres  "kept": as above; "round": no centre is kept, and no length is seen: each cohort is parted anew by k-means
             on the cosines of its ends about the mean of the models sent, and its parts take the names of the groups
             with which they share most members
    """

    k: int = 2
    part: str = "whole"
    centres: str = "kept"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"nearest.k must be ≥ 1, got {self.k}", key="nearest.k", found=self.k)
        if self.centres not in CENTRES:
            raise UserError(
                f'nearest.centres must be "kept" or "round", got "{self.centres}"',
                key="nearest.centres",
                found=self.centres,
            )

    @property
    def sight(self) -> frozenset[Sight]:
        return frozenset({Sight.GRAM, Sight.SUMS} if self.centres == "kept" else {Sight.COSINE})

    @property
    def about(self) -> str:
        return "start" if self.centres == "kept" else "common"

    def protected(self) -> dict[str, object]:
        """Keys under which no length need be seen."""
        return {"centres": "round"}

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
        if self.centres == "round":
            return self._anew(world, groups, memory, orders, uploads)
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

    def _anew(
        self, world: World, groups: Groups, memory: Centres, orders: Orders, uploads: Uploads
    ) -> Assigned[Centres]:
        ids = uploads.ids
        values = uploads.cosine(self.parts[0]).among(ids).values
        labels = best(values, min(self.k, ids.size), world.streams("nearest", orders.round))
        before = groups.at(ids)
        out = groups.assign(dict(zip(ids.tolist(), named(groups, ids, labels).tolist(), strict=True)))
        moved = float(((before != out.at(ids)) & (before != UNKNOWN)).sum())
        return Assigned(out, memory, Info({"nearest.moved": moved}))

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


def named(groups: Groups, ids: IntVector, labels: IntVector) -> IntVector:
    """(n,) for each client a group that exists: labels take the names with which they share most members.

    One name for each label; of equal overlaps the smaller label takes the smaller name.
    """
    from scipy.optimize import linear_sum_assignment

    k, parts = groups.numbers.size, int(labels.max(initial=-1)) + 1
    standing = groups.rows(groups.at(ids))
    overlap = np.zeros((parts, k))
    np.add.at(overlap, (labels[standing >= 0], standing[standing >= 0]), 1.0)
    bonus = np.outer(np.arange(parts, 0, -1), np.arange(k, 0, -1)) / (2.0 * max(parts * k * min(parts, k), 1))
    to = np.zeros(parts, np.int64)
    for part, name in zip(*linear_sum_assignment(overlap + bonus, maximize=True), strict=True):
        to[part] = groups.numbers[name]
    return to[labels]
