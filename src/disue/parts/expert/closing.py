"""Experts that are made in an exchange of their own, after the round, with all clients: for use, not to train from."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from disue.core.checks import Vector
from disue.core.clients import Probe
from disue.core.method import CLOSING
from disue.core.orders import Orders, Report
from disue.core.world import World


class Closing:
    """What such experts share; see `core.method.Expert` for what they offer."""

    for_use: ClassVar[bool] = True

    @staticmethod
    def asked(world: World, round: int, average: Vector, report: Report, probe: Probe | None = None) -> Orders:
        """Every client looks at its data under the average; nobody trains."""
        ids = world.census.ordered
        return Orders(
            round=round,
            ids=ids,
            starts=average[None, :],
            which=np.zeros((ids.size, 1), np.int64),
            origin=average,
            report=report,
            probe=probe,
            stream=CLOSING,
        )
