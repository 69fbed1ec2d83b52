"""FedNTD (Lee, Jeong, Shin, Bae, Yun, NeurIPS 2022, arXiv 2106.03097), Algorithm 1.

    q̃, q̃_g: softmax over the classes but the true one .... local = NotTrue(...)
    ℓ = CE + β T² KL(q̃_g ‖ q̃)
    w ← Σ_k n_k / n · w_k ................................ aggregate = Mean()

The true logit is dropped before the softmax. With two classes one is left, and the method is FedAvg for every β.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local import NotTrue
from disue.parts.start import FromGroup


def fedntd(local: Local = NotTrue()) -> Composed[Any, Any, Any]:
    """One model for everybody; what the received one says of the other classes is kept."""
    return Composed(FromGroup(), local, OneGroup(), Mean(), NoExpert())
