"""FedAvg with fine-tuning: the floor of every comparison with personalised methods.

    federated ........................ FedAvg as it is
    w_i = E_ft epochs of SGD from w .. local = FineTuned(tuning=E_ft), in every evaluation anew, on training data

Nothing of the fine-tuning is kept or sent, and it draws from a stream of its own: the federation is FedAvg bit for bit.
Papers fine-tune for one to ten epochs; more of them is more work that other methods do not have.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local import FineTuned
from disue.parts.start import FromGroup


def fedavg_ft(local: Local = FineTuned()) -> Composed[Any, Any, Any]:
    """One model for everybody, fine-tuned by each client for its own use."""
    return Composed(FromGroup(), local, OneGroup(), Mean(), NoExpert())
