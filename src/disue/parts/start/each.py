"""Starts without a choice: from the group's model, from the expert, from the client's own last end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from disue.core.checks import IntVector
from disue.core.errors import UserError
from disue.core.method import NONE, Chosen, View
from disue.core.orders import Sight
from disue.core.world import World
from disue.parts.start.distinct import Distinct, blend, expert_of, model_of


def check_share(share: float) -> None:
    if not 0.0 <= share <= 1.0:
        raise UserError(f"start.share must lie in [0, 1], got {share}", key="start.share", found=share)


def _blended(view: View, ids: IntVector, share: float) -> Chosen:
    """Each client's row of share · expert + (1 − share) · its group's model."""
    numbers, rows, expert = view.groups.at(ids), Distinct(), expert_of(view)
    if share == 1.0 or not ids.size:
        return Chosen(expert[None, :], np.zeros((ids.size, 1), np.int64))
    which = np.zeros((ids.size, 1), np.int64)
    for number in np.unique(numbers).tolist():
        which[numbers == number] = rows.add(blend(share, expert, model_of(view, number)))
    return Chosen(rows.matrix(), which)


@dataclass(frozen=True)
class FromGroup:
    """Each client starts from its group's model; one that was never placed starts from the average."""

    sight: ClassVar[frozenset[Sight]] = NONE
    choice: ClassVar[str] = "none"

    def common(self, view: View) -> bool:
        return view.groups.numbers.size <= 1

    def choose(self, world: World, view: View, ids: IntVector) -> Chosen:
        return _blended(view, ids, 0.0)


@dataclass(frozen=True)
class FromExpert:
    """share · expert + (1 − share) · the client's group model; without an expert the average takes its place.

    share = 1 is the expert itself, one vector for all; share = 0 is `FromGroup`, bit for bit.
    """

    share: float = 1.0
    sight: ClassVar[frozenset[Sight]] = NONE
    choice: ClassVar[str] = "none"

    def __post_init__(self) -> None:
        check_share(self.share)

    def common(self, view: View) -> bool:
        return self.share == 1.0 or view.groups.numbers.size <= 1

    def choose(self, world: World, view: View, ids: IntVector) -> Chosen:
        return _blended(view, ids, self.share)


@dataclass(frozen=True)
class FromSelf:
    """Each client goes on from its own last end; the first time it starts as in `FromGroup`."""

    sight: ClassVar[frozenset[Sight]] = NONE
    choice: ClassVar[str] = "none"
    keeps: ClassVar[int] = 1  # its last end

    def common(self, view: View) -> bool:
        return False

    def choose(self, world: World, view: View, ids: IntVector) -> Chosen:
        first = _blended(view, ids, 0.0)
        return Chosen(first.starts, first.which, own=True)
