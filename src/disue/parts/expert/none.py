"""No expert: the average is all there is."""

from __future__ import annotations

from dataclasses import dataclass

from disue.core.checks import Vector
from disue.core.method import NONE, Made, Making
from disue.core.orders import Sight
from disue.core.world import World


@dataclass(frozen=True)
class NoExpert:
    """Makes nothing; the average is not reported beside an expert."""

    @property
    def sight(self) -> frozenset[Sight]:
        return NONE

    @property
    def serves(self) -> bool:
        return False

    def init(self, world: World, start: Vector) -> None:
        return None

    def make(self, world: World, memory: None, making: Making) -> Made[None]:
        return Made(None, None)

    def head_scale(self, memory: None) -> float:
        return 1.0
