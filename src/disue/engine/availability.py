"""Who answers: clients drop out, and slow ones miss the deadline. Pure functions of named streams."""

from __future__ import annotations

import numpy as np

from disue.core.checks import Float64, IntVector
from disue.core.errors import UserError
from disue.core.streams import Streams


def answering(
    streams: Streams,
    round: int,
    ids: IntVector,
    sizes: IntVector,
    dropout: float = 0.0,
    deadline: float = 0.0,
    speed_sigma: float = 0.0,
) -> IntVector:
    """The ids that answer, ascending. Whether a client drops out does not depend on who else is asked.

    dropout      probability that a client does not answer in a round
    deadline     longest time, in units of the median over those asked; 0 for none
    speed_sigma  spread of the clients' speeds (log-normal); a client's speed is the same in every round
    """
    for name, value, holds, allowed in (
        ("dropout", dropout, 0 <= dropout < 1, "in [0, 1)"),
        ("deadline", deadline, 0 <= deadline < np.inf, "≥ 0 (0: none)"),
        ("speed_sigma", speed_sigma, 0 <= speed_sigma < np.inf, "≥ 0"),
    ):
        if not holds:
            raise UserError(f"cohort.{name} must be {allowed}, got {value}", key=f"cohort.{name}", found=value)
    stay = np.ones(ids.size, bool)
    if dropout > 0:
        stay &= np.array([streams("dropout", round, int(i)).random() >= dropout for i in ids], bool)
    if deadline > 0 and ids.size:
        spent = times(streams, ids, sizes, speed_sigma)
        stay &= spent <= deadline * np.median(spent)
    return np.sort(ids[stay])


def times(streams: Streams, ids: IntVector, sizes: IntVector, speed_sigma: float) -> Float64:
    """(n,) how long each client takes, in arbitrary units: samples times its seconds per sample."""
    spread = np.array([streams("speed", int(i)).standard_normal() for i in ids], np.float64)
    return sizes.astype(np.float64) * np.exp(speed_sigma * spread)
