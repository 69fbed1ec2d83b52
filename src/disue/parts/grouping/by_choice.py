"""Groups that clients choose themselves: each the model that fits its own training data best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from disue.core.checks import IntVector
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import Part
from disue.core.method import Assigned, Info
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World

MOST, LONG = 0.9, 10  # a share of the cohort in one group for so many rounds is a collapse


@dataclass(frozen=True)
class Streak:
    """Rounds in a row in which nearly all of the cohort chose one group."""

    rounds: int = 0


@dataclass(frozen=True)
class ByChoice:
    """`k` groups; who answers belongs to the group whose model had the least loss on its training data.

    Goes with the start `every`. Absent clients keep their group. That one group took more than 90 % of the cohort
    for ten rounds in a row is said once.
    """

    k: int = 2
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.CHOICE})
    parts: ClassVar[tuple[Part, ...]] = ()

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"choice.k must be ≥ 1, got {self.k}", key="choice.k", found=self.k)

    def init(self, world: World) -> Assigned[Streak]:
        return Assigned(Groups.empty(self.k), Streak())

    def survey(self, world: World, round: int) -> IntVector | None:
        return None

    def assign(
        self, world: World, groups: Groups, memory: Streak, orders: Orders, uploads: Uploads, *, survey: bool
    ) -> Assigned[Streak]:
        picked = uploads.choice().argmax(axis=1)
        numbers = groups.numbers[picked]
        out = groups.assign(dict(zip(uploads.ids.tolist(), numbers.tolist(), strict=True)))
        shares = [float((numbers == number).mean()) for number in groups.numbers]
        streak = memory.rounds + 1 if self.k > 1 and max(shares) > MOST else 0
        notes: tuple[str, ...] = ()
        if streak == LONG:
            notes = (
                f"round {orders.round}: for {LONG} rounds more than {MOST:.0%} of the cohort chose one of {self.k} "
                "groups; another model seed or a smaller learning rate may part them",
            )
        return Assigned(out, Streak(streak), Info({"choice.largest": max(shares)}, notes))
