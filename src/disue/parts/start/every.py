"""All groups' models go to every client, which chooses among them (IFCA, FedSoft)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.core.checks import IntVector
from disue.core.errors import UserError
from disue.core.method import Chosen, View
from disue.core.orders import Sight
from disue.core.world import World
from disue.parts.start.distinct import Distinct, blend, expert_of
from disue.parts.start.each import check_share


@dataclass(frozen=True)
class EveryGroup:
    """Column c of `which` is the c-th group (in the order of `groups.numbers`), for every client.

    choice  "loss": it takes the model with the least training loss; "shares": its samples' shares over them
    share   > 0: it chooses among the groups' models and then trains from share · expert + (1 − share) · model
    fresh   groups start from independent draws of the initialiser, or all would tie for ever
    own     it trains from its own last end, the first time from the model it chose or has the largest share of
    """

    choice: str = "loss"
    share: float = 0.0
    fresh: bool = True
    own: bool = False
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.CHOICE})

    def __post_init__(self) -> None:
        check_share(self.share)
        if self.choice not in ("loss", "shares"):
            raise UserError(
                f'start.choice must be "loss" or "shares", got "{self.choice}"',
                key="start.choice",
                found=self.choice,
            )
        if self.own and self.share:
            raise UserError(
                f"start.share must be 0 with own, which takes the client's last end as it is, got {self.share}",
                key="start.share",
                found=self.share,
            )

    @property
    def keeps(self) -> int:
        return int(self.own)

    @property
    def blends(self) -> bool:
        return not self.own

    def common(self, view: View) -> bool:
        return not self.own and (self.share == 1.0 or view.groups.numbers.size <= 1)

    def choose(self, world: World, view: View, ids: IntVector) -> Chosen:
        rows, models = Distinct(), list(view.models) or [view.average]
        which = np.array([rows.add(model) for model in models], np.int64)
        into = None
        if self.share > 0.0:
            trained = [rows.add(blend(self.share, expert_of(view), model)) for model in models]
            into = np.tile(np.array(trained, np.int64), (ids.size, 1))
        return Chosen(rows.matrix(), np.tile(which, (ids.size, 1)), into, self.own)
