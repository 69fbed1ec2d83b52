"""NAME (Authors, Venue Year, arXiv NUMBER), Algorithm N. Copy this file, then replace every line of it.

    the server sorts clients by size ....... grouping = BySize(k)              ← the one new part
    one FedAvg per group ................... start = FromGroup(), aggregate = Mean()

Deviates: say here where the code differs from the paper, and why.

This template is a real method (clients that declare a similar amount of data share a model) and a test runs it, but
it is in no table. CONTRIBUTING.md walks through the steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from disue.core.checks import IntVector
from disue.core.clients import Local
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import Part
from disue.core.method import NONE, Assigned, Info
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.local import Erm
from disue.parts.start import FromGroup


@dataclass(frozen=True)
class Sizes:
    """What the part must know in the next round, as a frozen dataclass of arrays and scalars. Here: how many groups
    there are, so that it can be said once. What only wants to be *said* goes into `Info` instead."""

    made: int = 0


@dataclass(frozen=True)
class BySize:
    """Groups of clients that declare a similar number of samples.

    k  number of groups
    """

    k: int = 2
    sight: ClassVar[frozenset[Sight]] = NONE  # what it must see of the answers: nothing; a linkage needs COSINE
    parts: ClassVar[tuple[Part, ...]] = ()  # the parts of the update whose similarity it asks for

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"by-size.k must be ≥ 1, got {self.k}", key="by-size.k", found=self.k)

    def init(self, world: World) -> Assigned[Sizes]:
        """Before the first round: clients in order of size (then of id), cut into k runs. Ids, never positions."""
        ids, sizes = world.census.ids, world.census.sizes
        order = ids[np.lexsort((ids, sizes))]
        runs = np.array_split(order, min(self.k, ids.size))
        groups = Groups.make({int(i): number for number, run in enumerate(runs) for i in run})
        return Assigned(groups, Sizes(len(runs)), Info(notes=(f"{len(runs)} groups by size",)))

    def survey(self, world: World, round: int) -> IntVector | None:
        """Clients to be looked at before this round with updates that are then thrown away; here nobody."""
        return None

    def assign(
        self, world: World, groups: Groups, memory: Sizes, orders: Orders, uploads: Uploads, *, survey: bool
    ) -> Assigned[Sizes]:
        """After the clients answered. Who did not answer keeps its group; nothing given is changed in place."""
        return Assigned(groups, memory)


def by_size(local: Local = Erm(), k: int = 2) -> Composed[Any, Any, Any]:
    """One model per group of clients of similar size.

    k  number of groups
    """
    return Composed(FromGroup(), local, BySize(k), Mean(), NoExpert())
