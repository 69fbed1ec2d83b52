"""The average itself as the expert: the same bits, nothing distilled."""

from __future__ import annotations

from dataclasses import dataclass

from disue.core.checks import Vector
from disue.core.method import NONE, Made, Making
from disue.core.orders import Sight
from disue.core.world import World


@dataclass(frozen=True)
class AverageExpert:
    """Every client may start from the average; the plain twin of every distilled expert."""

    @property
    def sight(self) -> frozenset[Sight]:
        return NONE

    @property
    def serves(self) -> bool:
        return True

    def init(self, world: World, start: Vector) -> None:
        return None

    def make(self, world: World, memory: None, making: Making) -> Made[None]:
        return Made(making.average, None)

    def head_scale(self, memory: None) -> float:
        return 1.0
