"""Groups that clients belong to in shares: of how many of their samples each model fits best."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from disue.core.checks import Float64, IntVector
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import Part
from disue.core.method import Assigned, Info
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World


@dataclass(frozen=True, eq=False)
class Shares:
    """ids (n,) ascending; rows (n, k) their shares; since (n,) the rounds in which they were found."""

    ids: IntVector = field(default_factory=lambda: np.zeros(0, np.int64))
    rows: Float64 = field(default_factory=lambda: np.zeros((0, 0)))
    since: IntVector = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class ByShares:
    """`k` groups; a client is placed in the one whose model has the least loss on most of its training samples.

    Goes with the start `every` and choice = "shares". Clients find their shares when they are first asked, and anew
    when they are asked `every` rounds later or more; until then the server tells them what they were.

    k      number of groups
    every  rounds for which a client's shares hold
    """

    k: int = 2
    every: int = 2
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.CHOICE})
    parts: ClassVar[tuple[Part, ...]] = ()

    def __post_init__(self) -> None:
        for key in ("k", "every"):
            if getattr(self, key) < 1:
                found = getattr(self, key)
                raise UserError(f"shares.{key} must be ≥ 1, got {found}", key=f"shares.{key}", found=found)

    def init(self, world: World) -> Assigned[Shares]:
        return Assigned(Groups.empty(self.k), Shares(rows=np.zeros((0, self.k))))

    def survey(self, world: World, round: int) -> IntVector | None:
        return None

    def known(self, memory: Shares, round: int, ids: IntVector) -> Float64:
        """(n, k) the shares that still hold; NaN for clients that are to find theirs."""
        out = np.full((ids.size, self.k), np.nan)
        if memory.ids.size:
            at = np.minimum(np.searchsorted(memory.ids, ids), memory.ids.size - 1)
            holds = (memory.ids[at] == ids) & (round - memory.since[at] < self.every)
            out[holds] = memory.rows[at[holds]]
        return out

    def assign(
        self, world: World, groups: Groups, memory: Shares, orders: Orders, uploads: Uploads, *, survey: bool
    ) -> Assigned[Shares]:
        ids, rows = uploads.ids, uploads.choice()
        fresh = np.isnan(self.known(memory, orders.round, ids)).any(axis=1)
        stay = ~np.isin(memory.ids, ids[fresh])
        every = np.concatenate([memory.ids[stay], ids[fresh]])
        since = np.concatenate([memory.since[stay], np.full(int(fresh.sum()), orders.round, np.int64)])
        order = np.argsort(every)
        kept = Shares(every[order], np.concatenate([memory.rows[stay], rows[fresh]])[order], since[order])
        numbers = groups.numbers[rows.argmax(axis=1)]
        out = groups.assign(dict(zip(ids.tolist(), numbers.tolist(), strict=True)))
        said = {"shares.largest": float(rows.max(axis=1).mean()), "shares.found": float(fresh.sum())}
        return Assigned(out, kept, Info(said))
