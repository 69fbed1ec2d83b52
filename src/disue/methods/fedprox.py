"""FedProx (Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith, MLSys 2020, arXiv 1812.06127), Algorithm 2.

    w_k ≈ argmin F_k(w) + μ/2 · ‖w − w^t‖² .... local = Proximal(mu=μ), E epochs of SGD
    w ← Σ_k n_k / n · w_k ..................... grouping = OneGroup(), aggregate = Mean()

The anchor is the received model. Stragglers that send partial work are not modelled: everybody takes its epochs.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local import Proximal
from disue.parts.start import FromGroup


def fedprox(local: Local = Proximal()) -> Composed[Any, Any, Any]:
    """One model for everybody, trained with a pull towards the received one."""
    return Composed(FromGroup(), local, OneGroup(), Mean(), NoExpert())
