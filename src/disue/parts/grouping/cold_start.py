"""Groups from a cold start: some clients' first updates are parted, everybody else goes to the nearest part."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from disue.core.checks import Float64, IntVector
from disue.core.errors import UserError
from disue.core.groups import UNKNOWN, Groups
from disue.core.layout import Part
from disue.core.method import Assigned, Info
from disue.core.orders import Orders, Sight
from disue.core.uploads import Gram, Uploads
from disue.core.world import World
from disue.parts.grouping.kmeans import best
from disue.parts.grouping.linkage import SURVEYED, said
from disue.parts.grouping.merging import TIE, merge
from disue.parts.grouping.placing import Directions
from disue.parts.grouping.points import points_of

MEASURES = ("edc", "madc")


@dataclass(frozen=True, eq=False)
class Started:
    """formed  whether groups have been made      directions  of the groups, as they were then"""

    formed: bool = False
    directions: Directions = field(default_factory=Directions.none)


@dataclass(frozen=True)
class ColdStart:
    """`k` groups of clients whose first updates point alike, kept from then on.

    All clients train one pass from the initial model before round 0; `per_group` · k of them, drawn, are parted, and
    the others go to the group with whose mean update theirs has the largest cosine. Above 1,000 clients only the drawn
    ones are surveyed, and the others placed when first seen.

    k          number of groups
    measure    "edc": k-means on the cosines with the k main directions of the updates (Euclidean distance of decomposed
               cosines); "madc": complete linkage on the mean absolute difference of the cosines with all others
    per_group  clients of the cold start for each group
    part       of the update: "whole", "head", or globs over tensor names
    """

    k: int = 3
    measure: str = "edc"
    per_group: int = 20
    part: str = "whole"
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.GRAM, Sight.SUMS})

    def __post_init__(self) -> None:
        for key in ("k", "per_group"):
            if getattr(self, key) < 1:
                found = getattr(self, key)
                raise UserError(f"cold-start.{key} must be ≥ 1, got {found}", key=f"cold-start.{key}", found=found)
        if self.measure not in MEASURES:
            raise UserError(
                f'cold-start.measure must be "edc" or "madc", got "{self.measure}"',
                key="cold-start.measure",
                found=self.measure,
            )

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Part.of(self.part),)

    def init(self, world: World) -> Assigned[Started]:
        """All together until there is something to see."""
        world.layout.mask(self.parts[0])  # a pattern that meets nothing is said now
        return Assigned(Groups.one(world.census.ids), Started())

    def survey(self, world: World, round: int) -> IntVector | None:
        if round > 0:
            return None
        return self._drawn(world) if world.census.ids.size > SURVEYED else np.sort(world.census.ids)

    def assign(
        self, world: World, groups: Groups, memory: Started, orders: Orders, uploads: Uploads, *, survey: bool
    ) -> Assigned[Started]:
        info = Info()
        if not memory.formed:
            groups, info = self._formed(world, uploads)
            mask = world.layout.mask(self.parts[0])
            memory = Started(True, Directions.none().renewed(mask, groups, orders, uploads))
        new = uploads.ids[groups.at(uploads.ids) == UNKNOWN]
        if new.size and memory.directions.numbers.size:
            numbers = self._nearest(world, memory.directions, uploads, new)
            groups = groups.assign(dict(zip(new.tolist(), numbers.tolist(), strict=True)))
            info = info + Info({"placed": float(new.size)})
        if memory.directions.numbers.size and not (groups.at(world.census.ids) == UNKNOWN).any():
            memory = replace(memory, directions=Directions.none())  # nobody is still to be placed
        return Assigned(groups, memory, info)

    def _drawn(self, world: World) -> IntVector:
        """The clients of the cold start, the same whenever it is asked."""
        ids = np.sort(world.census.ids)
        size = min(self.per_group * self.k, ids.size)
        return np.sort(world.streams("cold-start").choice(ids, size=size, replace=False))

    def _formed(self, world: World, uploads: Uploads) -> tuple[Groups, Info]:
        """Groups of the drawn clients that answered (of all that did where none of these is there)."""
        drawn = np.intersect1d(self._drawn(world), uploads.ids)
        gram = uploads.gram(self.parts[0]).among(drawn if drawn.size else np.sort(uploads.ids))
        k = min(self.k, gram.ids.size)
        labels = first_seen(self._labels(gram, k, world))
        points = points_of(gram.cosine(), world.streams)
        found = int(labels.max()) + 1
        at, shown = points.shown()
        note = f"cold-start: {self.k} groups asked for, {found} made of {gram.ids.size} clients"
        info = Info(
            said(points, labels),
            (note,) if found < self.k else (),
            {"similarity": shown, "similarity_ids": gram.ids[at]},
        )
        return Groups.make(dict(zip(gram.ids.tolist(), labels.tolist(), strict=True))), info

    def _labels(self, gram: Gram, k: int, world: World) -> IntVector:
        if self.measure == "madc":
            return merge(madc(gram.cosine().values), "complete").labels(k)
        features = decomposed(gram.values, k)
        return best(np.einsum("ij,lj->il", features, features), k, world.streams("cold-start-groups"))

    def _nearest(self, world: World, directions: Directions, uploads: Uploads, new: IntVector) -> IntVector:
        """(n,) numbers of the groups; ties to the smallest."""
        mask = world.layout.mask(self.parts[0])
        anchors = np.zeros((directions.numbers.size, mask.size), np.float32)
        anchors[:, mask] = directions.rows
        cosines = uploads.gram(self.parts[0], anchors).cosine().among(new).anchors
        out: IntVector = directions.numbers[np.argmax(cosines >= cosines.max(axis=0) - TIE, axis=0)]
        return out


def decomposed(values: Float64, k: int) -> Float64:
    """(m, k) cosines of m updates with their k main directions, from the updates' inner products (m, m).

    With Γ = ΔΔᵀ = UΛUᵀ the j-th right singular vector of Δ is Δᵀu_j/√λ_j, so Δ_i · v_j = √λ_j u_ij: the directions
    themselves are not needed. Signs are arbitrary, and distances do not depend on them.
    """
    heights, vectors = np.linalg.eigh(values)
    top = np.argsort(-heights, kind="stable")[:k]
    norms = np.sqrt(np.maximum(np.diag(values), 0.0))
    scale = np.where(norms > 0, 1 / np.where(norms > 0, norms, 1.0), 0.0)
    out: Float64 = vectors[:, top] * np.sqrt(np.maximum(heights[top], 0.0)) * scale[:, None]
    return out


def madc(cosines: Float64) -> Float64:
    """(m, m) mean over all l but i and j of |cos(i, l) − cos(j, l)|; zero between two alone."""
    m = cosines.shape[0]
    out = np.zeros((m, m))
    for i in range(m):
        apart = np.abs(cosines - cosines[i])
        out[i] = apart.sum(axis=1) - apart[:, i] - np.diag(apart)
    np.fill_diagonal(out, 0.0)
    mean: Float64 = np.maximum(out, 0.0) / max(m - 2, 1)
    return mean


def first_seen(labels: IntVector) -> IntVector:
    """The same clusters numbered by their first members, without gaps."""
    known, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(known.size, np.int64)
    rank[np.argsort(first)] = np.arange(known.size)
    out: IntVector = rank[inverse.reshape(-1)]
    return out
