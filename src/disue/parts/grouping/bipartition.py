"""Groups that are split in two where training of the whole has come to rest and training of members has not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from disue.core.checks import IntVector
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import Part
from disue.core.method import Assigned, Info
from disue.core.orders import SQUARE, Orders, Sight
from disue.core.uploads import Gram, Uploads
from disue.core.world import World
from disue.parts.grouping.points import points_of

LINKAGES = ("complete", "single")
NORMS = ("max", "rms")


@dataclass(frozen=True, eq=False)
class Scale:
    """longest  length of the longest mean update so far      told  whether absence was spoken of"""

    longest: float = 0.0
    told: bool = False


@dataclass(frozen=True)
class Bipartition:
    """One group, and from `after` rounds on every group is split that meets all of

        ‖mean of its members' updates‖ < eps1,  largest ‖update‖ > eps2,  more than two members

    into the two parts of a merge on 1 − cosine. Only groups are looked at all of whose members answered: with absent
    ones half of the similarities would be unknown.

    eps1, eps2  lengths of updates; they depend on model, rate and steps
    relative    in units of the longest mean update so far (not of the first rounds': updates grow at first)
    linkage     "complete" as the authors' code, or "single", which minimises the largest cosine across the parts
    after       rounds before the first split
    norms       what stands for the largest ‖update‖: "max", of single updates; "rms", the root of their mean square,
                which is a sum and so can be known without seeing any of them (with `every`, as sums are taken once)
    every       > 0: every so many rounds all clients train one pass from their group's model, for this alone; 0: the
                cohort itself is looked at, which asks for full participation
    """

    eps1: float = 0.4
    eps2: float = 1.6
    relative: bool = False
    linkage: str = "complete"
    after: int = 20
    every: int = 0
    norms: str = "max"
    weights: ClassVar[str] = "uniform"
    parts: ClassVar[tuple[Part, ...]] = (Part(),)
    survey_from: ClassVar[str] = "group"

    def __post_init__(self) -> None:
        for key in ("eps1", "eps2", "after", "every"):
            if getattr(self, key) < 0:
                raise UserError(
                    f"bipartition.{key} must be ≥ 0, got {getattr(self, key)}",
                    key=f"bipartition.{key}",
                    found=getattr(self, key),
                )
        if self.norms not in NORMS:
            raise UserError(
                f'bipartition.norms must be "max" or "rms", got "{self.norms}"',
                key="bipartition.norms",
                found=self.norms,
            )
        if self.norms == "rms" and not self.every:
            raise UserError(
                'bipartition.norms = "rms" needs bipartition.every > 0, got 0', key="bipartition.every", found=0
            )
        if self.linkage not in LINKAGES:
            raise UserError(
                f'bipartition.linkage must be "complete" or "single", got "{self.linkage}"',
                key="bipartition.linkage",
                found=self.linkage,
            )

    @property
    def sight(self) -> frozenset[Sight]:
        return frozenset({Sight.GRAM} if self.norms == "max" else {Sight.COSINE, Sight.SUMS})

    @property
    def beside(self) -> tuple[str, ...]:
        return () if self.norms == "max" else (SQUARE,)

    def protected(self) -> dict[str, object]:
        """Keys under which no single update need be seen."""
        return {"norms": "rms", "every": self.every or 10}

    def init(self, world: World) -> Assigned[Scale]:
        return Assigned(Groups.one(world.census.ids), Scale())

    def survey(self, world: World, round: int) -> IntVector | None:
        due = self.every > 0 and round % self.every == 0 and round >= self.after
        return np.sort(world.census.ids) if due else None

    def assign(
        self, world: World, groups: Groups, memory: Scale, orders: Orders, uploads: Uploads, *, survey: bool
    ) -> Assigned[Scale]:
        if survey != (self.every > 0):
            return Assigned(groups, memory)
        came, notes = set(uploads.ids.tolist()), []
        whole = [n for n in groups.present().tolist() if came.issuperset(groups.members(n).tolist())]
        gram, lengths = self._lengths(groups, whole, orders, uploads)
        out, seen = groups, []
        for number, (mean, largest) in lengths.items():
            members = groups.members(number)
            part = gram.among(members)
            seen.append((mean, largest))
            unit = self._unit(memory, mean)
            rests = mean < self.eps1 * unit and largest > self.eps2 * unit
            if rests and members.size > 2 and orders.round >= self.after:
                parts = self._parts(part, world)
                out = out.split(number, parts)
                notes.append(
                    f"round {orders.round}: group {number} split into {' and '.join(str(p.size) for p in parts)}"
                )
        if not seen and not memory.told:
            notes.append(
                "cfl: no group is split, as none had all of its members in the cohort; set cohort.share = 1 or "
                "method.grouping.every"
            )
            memory = replace(memory, told=True)
        memory = replace(memory, longest=max([memory.longest, *(mean for mean, _ in seen)]))
        values = {"cfl.mean": max(m for m, _ in seen), "cfl.largest": max(n for _, n in seen)} if seen else {}
        return Assigned(out, memory, Info(values, tuple(notes)))

    def _lengths(
        self, groups: Groups, whole: list[int], orders: Orders, uploads: Uploads
    ) -> tuple[Gram, dict[int, tuple[float, float]]]:
        """Similarities, and of each group that is whole (‖mean update‖, largest ‖update‖ or what stands for it)."""
        out: dict[int, tuple[float, float]] = {}
        if self.norms == "max":
            gram = uploads.gram(self.parts[0])
            for number in whole:
                part = gram.among(groups.members(number))
                out[number] = float(np.sqrt(max(part.values.mean(), 0.0))), float(part.norms().max())
            return gram, out
        gram = uploads.cosine(self.parts[0])
        there = groups.among(uploads.ids)
        sums, squares = uploads.sums(there), uploads.sums(there, SQUARE)
        began = dict(zip(orders.ids.tolist(), orders.which[:, 0].tolist(), strict=True))
        for number in whole:
            row = int(np.flatnonzero(sums.numbers == number)[0])
            if not sums.weights[row]:  # a group too small for a sum
                continue
            start = orders.starts[began[int(groups.members(number)[0])]].astype(np.float64)
            moved = sums.mean(row) if orders.origin is not None else sums.mean(row) - start
            out[number] = float(np.linalg.norm(moved)), float(np.sqrt(squares.mean(row)[0]))
        return gram, out

    def _unit(self, memory: Scale, mean: float) -> float:
        return max(memory.longest, mean) if self.relative else 1.0

    def _parts(self, gram: Gram, world: World) -> list[IntVector]:
        """The two parts, as ids: a label is a position among the members, and says nothing outside them."""
        points = points_of(gram.cosine(), world.streams)
        labels = points.merges(self.linkage, 2).labels(2)
        return [points.ids[labels == g] for g in (0, 1)]
