"""Groups by the principal angles between the subspaces that clients' data span, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from disue.core.checks import Array, Float64, IntVector
from disue.core.clients import Order
from disue.core.errors import UserError
from disue.core.groups import UNKNOWN, Groups
from disue.core.layout import Part
from disue.core.method import Assigned, Info
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World
from disue.parts.grouping.merging import LINKAGES, TIE, merge

BASES = "bases"
MEASURES = ("smallest", "sum")
MOST = 1000  # clients, every pair of whom is compared
FLAT = 1e-4  # of the largest singular value: below, a direction is float32's rounding


@dataclass(frozen=True)
class Bases:
    """The `each` leading left singular vectors of the (numbers × samples) matrix of each class, side by side.

    A class that is absent, or of fewer dimensions, leaves columns of zeros, which travel like the others.
    """

    each: int
    model: ClassVar[bool] = False

    def __call__(self, inputs: Array, labels: IntVector, order: Order) -> Mapping[str, Array]:
        rows = np.asarray(inputs, np.float64).reshape(len(inputs), -1)
        columns = np.zeros((rows.shape[1], self.each * order.labels.size), np.float32)
        for label in np.unique(labels).tolist():
            left = leading(rows[labels == label], self.each)
            columns[:, label * self.each : label * self.each + left.shape[1]] = left
        return {BASES: columns}


def leading(rows: Float64, count: int) -> Float64:
    """(numbers, ≤ count) main directions of (samples, numbers), by way of the smaller of the two square matrices."""
    wide = rows.shape[1] > rows.shape[0]
    heights, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    keep = [at for at in range(heights.size - 1, -1, -1) if heights[at] > (FLAT**2) * max(heights[-1], 0.0)][:count]
    out: Float64 = (rows.T @ vectors[:, keep]) / np.sqrt(heights[keep]) if wide else vectors[:, keep]
    return out


@dataclass(frozen=True, eq=False)
class Spans:
    """Of the clients that are placed, as long as others are not: ids (n,), columns (n, numbers, width)."""

    ids: IntVector = field(default_factory=lambda: np.zeros(0, np.int64))
    columns: Array = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))


@dataclass(frozen=True)
class PrincipalAngles:
    """Clients whose data span similar subspaces, by merging, cut into `k` groups or at `beta` degrees.

    Asks every client once, before round 0, for `each` basis vectors of each of its classes, and trains nothing for it.
    Who did not answer is asked again before the next round, and goes to the group whose members its angles are the
    smallest to on average.

    k          number of groups; 0: cut at beta
    beta       degrees up to which groups are merged, where k = 0
    each       basis vectors of a class
    measure    "smallest" principal angle of two spans, or "sum" of all of them
    entrywise  the least angle between any two basis vectors, as the authors' code has it: it hangs on the choice of
               the basis
    linkage    "average" (all pairs weigh alike), "weighted" (the two halves of a group do, as in the authors' code),
               "complete" or "single"
    """

    k: int = 2
    beta: float | None = None
    each: int = 3
    measure: str = "smallest"
    entrywise: bool = False
    linkage: str = "average"
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.VECTORS})
    parts: ClassVar[tuple[Part, ...]] = ()
    extras: ClassVar[tuple[str, ...]] = (BASES,)

    def __post_init__(self) -> None:
        _need(self.k >= 0, "k", "≥ 0 (0: cut at beta)", self.k)
        _need((self.k == 0) == (self.beta is not None), "beta", "given where k = 0, and only there", self.beta)
        _need(self.beta is None or not math.isnan(self.beta), "beta", "a number of degrees", self.beta)
        _need(self.each >= 1, "each", "≥ 1", self.each)
        _need(self.measure in MEASURES, "measure", '"smallest" or "sum"', self.measure)
        _need(not self.entrywise or self.measure == "smallest", "entrywise", 'false where measure = "sum"', True)
        _need(self.linkage in LINKAGES, "linkage", '"average", "weighted", "complete" or "single"', self.linkage)

    @property
    def probe(self) -> Bases:
        return Bases(self.each)

    def init(self, world: World) -> Assigned[Spans]:
        """Nobody is placed until there is something to see."""
        if world.census.ids.size > MOST:
            raise UserError(
                f"principal-angles compares every two clients, and takes at most {MOST:,} of them; "
                f"this federation has {world.census.ids.size:,}",
                key="grouping.kind",
                found=world.census.ids.size,
            )
        if getattr(world.network, "input_kind", "") == "text":
            raise UserError(
                "principal-angles needs inputs that are numbers; those of this federation are text",
                key="grouping.kind",
                found="text",
            )
        return Assigned(Groups.empty(0), Spans())

    def survey(self, world: World, round: int) -> IntVector | None:
        """Everybody; with a probe only those are asked who have no group."""
        return np.sort(world.census.ids)

    def assign(
        self, world: World, groups: Groups, memory: Spans, orders: Orders, uploads: Uploads, *, survey: bool
    ) -> Assigned[Spans]:
        if not survey:
            return Assigned(groups, memory)
        ids, width = uploads.ids, self.each * world.layout.classes
        came = uploads.vectors(BASES).reshape(ids.size, -1, width)
        if not groups.ids.size:
            groups, info = self._formed(ids, came)
        else:
            apart, _ = self._compared(came, memory.columns)
            groups = self._placed(groups, memory.ids, ids, apart)
            info = Info({"placed": float(ids.size)})
        if not (groups.at(world.census.ids) == UNKNOWN).any():
            return Assigned(groups, Spans(), info)
        known = np.concatenate([memory.ids, ids])
        columns = np.concatenate([memory.columns, came]) if memory.ids.size else came
        return Assigned(groups, Spans(known, columns), info)

    def _formed(self, ids: IntVector, came: Array) -> tuple[Groups, Info]:
        apart, cosines = self._compared(came, came)
        upper = np.triu(apart, 1)
        merges = merge(upper + upper.T, self.linkage)
        if self.beta is None:
            k = min(self.k, ids.size)
        else:
            k = merges.below(self.beta)
        labels = merges.labels(k)
        note = f"principal-angles: {self.k} groups asked for, {k} made: {ids.size} clients answered"
        shown = np.triu(cosines, 1)
        info = Info(
            said(apart, labels),
            (note,) if k < self.k else (),
            {"similarity": (shown + shown.T + np.eye(ids.size)).astype(np.float32), "similarity_ids": ids},
        )
        return Groups.make(dict(zip(ids.tolist(), labels.tolist(), strict=True))), info

    def _placed(self, groups: Groups, known: IntVector, new: IntVector, apart: Float64) -> Groups:
        """Each new client with the group of least mean angle, ties to the smallest number."""
        of = groups.at(known)
        means = np.stack([apart[:, of == number].mean(axis=1) for number in groups.present()])
        nearest = np.argmax(means <= means.min(axis=0) + TIE, axis=0)
        return groups.assign(dict(zip(new.tolist(), groups.present()[nearest].tolist(), strict=True)))

    def _compared(self, rows: Array, columns: Array) -> tuple[Float64, Float64]:
        """(n, m) angles by the measure in degrees, and the cosines of the smallest ones."""
        if self.entrywise:
            cosines = np.array([[_nearest(one, other) for other in columns] for one in rows])
            return np.degrees(np.arccos(cosines)), cosines
        ours, theirs = _spans(rows), _spans(columns)
        smallest, total = angles(ours, theirs)
        return (smallest if self.measure == "smallest" else total), np.cos(np.radians(smallest))


def _need(ok: bool, key: str, rule: str, found: object) -> None:
    if not ok:
        shown = f'"{found}"' if isinstance(found, str) else found
        raise UserError(
            f"principal-angles.{key} must be {rule}, got {shown}", key=f"principal-angles.{key}", found=found
        )


def _nearest(one: Array, other: Array) -> float:
    """The largest |cosine| of a column of the one with a column of the other."""
    return min(float(np.abs(one.T.astype(np.float64) @ other.astype(np.float64)).max(initial=0.0)), 1.0)


def _spans(stacked: Array) -> list[Float64]:
    """An orthonormal basis of the columns of each."""
    out = []
    for columns in stacked:
        left, heights, _ = np.linalg.svd(columns[:, columns.any(axis=0)].astype(np.float64), full_matrices=False)
        out.append(left[:, heights > FLAT * heights.max(initial=0.0)])
    return out


def angles(ours: list[Float64], theirs: list[Float64]) -> tuple[Float64, Float64]:
    """(n, m) the smallest principal angle of each pair of spans, and the sum of all of a pair's, in degrees.

    Cosines of principal angles are the singular values of QᵀP; two spans have as many as the smaller has dimensions,
    and with a span of none there is a right angle. The pairs of one span are taken together, filled up with zeros.
    """
    width = max((span.shape[1] for span in theirs), default=0)
    across = np.stack([np.pad(span, ((0, 0), (0, width - span.shape[1]))) for span in theirs])
    sizes = np.array([span.shape[1] for span in theirs])
    smallest, total = np.full((len(ours), len(theirs)), 90.0), np.full((len(ours), len(theirs)), 90.0)
    for row, span in enumerate(ours):
        if not span.shape[1] or not width:
            continue
        cosines = np.linalg.svd(span.T @ across, compute_uv=False)
        degrees = np.degrees(np.arccos(np.clip(cosines, 0.0, 1.0)))
        common = np.minimum(sizes, span.shape[1])
        smallest[row] = degrees[:, 0]
        counted = np.where(np.arange(degrees.shape[1]) < common[:, None], degrees, 0.0).sum(axis=1)
        total[row] = np.where(common > 0, counted, 90.0)
    return smallest, total


def said(apart: Float64, labels: IntVector) -> dict[str, float]:
    """For the round's record: number of groups, and mean angles within and between them."""
    out = {"groups_found": float(labels.max(initial=0) + 1)}
    same, upper = labels[:, None] == labels[None, :], np.triu(np.ones_like(apart, bool), 1)
    for name, pairs in (("angle_within", same & upper), ("angle_between", ~same & upper)):
        if pairs.any():
            out[name] = float(apart[pairs].mean())
    return out
