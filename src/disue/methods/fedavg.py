"""FedAvg (McMahan, Moore, Ramage, Hampson, Agüera y Arcas, AISTATS 2017, arXiv 1602.05629), Algorithm 1.

    S_t ← random set of clients ............ the cohort, drawn by the run
    ClientUpdate(k, w): E epochs of SGD .... local = Erm(...)
    w ← Σ_k n_k / n · w_k .................. grouping = OneGroup(), aggregate = Mean()

Weights are those of the cohort, not of all clients. Server momentum is `Mean(momentum=β)`.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local import Erm
from disue.parts.start import FromGroup


def fedavg(local: Local = Erm()) -> Composed[Any, Any, Any]:
    """One model for everybody: the sample-weighted mean of the cohort's models."""
    return Composed(FromGroup(), local, OneGroup(), Mean(), NoExpert())
