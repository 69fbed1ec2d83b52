"""Groups that do not depend on what clients send: one, alone, given, planted, random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.core.checks import IntVector
from disue.core.errors import UserError
from disue.core.groups import UNKNOWN, Groups
from disue.core.layout import Part
from disue.core.method import NONE, Assigned, Info
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World


@dataclass(frozen=True)
class Nothing:
    """The memory of a part that keeps none."""


class _Still:
    """Groups that stay as `init` made them."""

    sight: ClassVar[frozenset[Sight]] = NONE
    parts: ClassVar[tuple[Part, ...]] = ()

    def survey(self, world: World, round: int) -> IntVector | None:
        return None

    def assign(
        self, world: World, groups: Groups, memory: Nothing, orders: Orders, uploads: Uploads, *, survey: bool
    ) -> Assigned[Nothing]:
        return Assigned(groups, memory)


@dataclass(frozen=True)
class OneGroup(_Still):
    """All clients together."""

    def init(self, world: World) -> Assigned[Nothing]:
        return Assigned(Groups.one(world.census.ids), Nothing())

    def assign(
        self, world: World, groups: Groups, memory: Nothing, orders: Orders, uploads: Uploads, *, survey: bool
    ) -> Assigned[Nothing]:
        new = uploads.ids[groups.at(uploads.ids) == UNKNOWN]
        return Assigned(groups.assign({int(i): 0 for i in new}) if new.size else groups, memory)


@dataclass(frozen=True)
class Alone(_Still):
    """Every client its own group."""

    def init(self, world: World) -> Assigned[Nothing]:
        return Assigned(Groups.alone(world.census.ids), Nothing())

    def assign(
        self, world: World, groups: Groups, memory: Nothing, orders: Orders, uploads: Uploads, *, survey: bool
    ) -> Assigned[Nothing]:
        new = uploads.ids[groups.at(uploads.ids) == UNKNOWN]
        return Assigned(groups.match([np.array([i]) for i in new]) if new.size else groups, memory)


def _all_named(what: str, mapping: Mapping[int, int], world: World) -> Groups:
    ids = sorted(world.census.ids.tolist())
    missing = [i for i in ids if i not in mapping]
    if missing:
        raise UserError(
            f"{what} must name every client; {len(missing)} of {len(ids)} are missing, the first is {missing[0]}",
            key=what,
            found=missing[0],
        )
    return Groups.make({i: int(mapping[i]) for i in ids})


@dataclass(frozen=True)
class Fixed(_Still):
    """Groups as given: client id → group number (keys may be text, as they are in TOML)."""

    groups: Mapping[int, int]

    def __post_init__(self) -> None:
        try:
            known = {int(i): int(g) for i, g in self.groups.items()}
        except (AttributeError, TypeError, ValueError):
            raise UserError(
                "fixed.groups must map client ids to group numbers", key="fixed.groups", found=self.groups
            ) from None
        if min(known.values(), default=0) < 0:
            raise UserError(
                f"fixed.groups must hold group numbers ≥ 0, got {min(known.values())}",
                key="fixed.groups",
                found=min(known.values()),
            )
        object.__setattr__(self, "groups", known)

    def init(self, world: World) -> Assigned[Nothing]:
        return Assigned(_all_named("fixed.groups", self.groups, world), Nothing())


@dataclass(frozen=True)
class Oracle(_Still):
    """The groups that were planted in the data: a baseline, marked as such in every table."""

    mark: ClassVar[str] = "knows the groups"

    def init(self, world: World) -> Assigned[Nothing]:
        if world.truth is None:
            raise UserError(
                'grouping "oracle" needs a federation with planted groups; this one has none',
                key="grouping.kind",
                found="oracle",
            )
        return Assigned(_all_named("oracle.truth", world.truth, world), Nothing())


@dataclass(frozen=True)
class Random(_Still):
    """`k` groups of equal size, drawn once: what is left of clustering without similarity."""

    k: int = 10

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"random.k must be ≥ 1, got {self.k}", key="random.k", found=self.k)

    def init(self, world: World) -> Assigned[Nothing]:
        ids = np.sort(world.census.ids)
        k = min(self.k, ids.size)
        drawn = world.streams("random-groups").permutation(ids)
        groups = Groups.make({int(i): at % k for at, i in enumerate(drawn)})
        note = f"random: {self.k} groups asked for, {k} made: there are {ids.size} clients"
        return Assigned(groups, Nothing(), Info(notes=(note,) if k < self.k else ()))
