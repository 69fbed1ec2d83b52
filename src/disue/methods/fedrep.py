"""FedRep (Collins, Hassani, Mokhtari, Shakkottai, ICML 2021, arXiv 2102.07078), Algorithm 1.

    h_i ← GRD(f_i(h_i, φ), h_i, α), τ times ....... local = HeadFirst(): epochs − body_epochs passes over the head
    φ_i ← GRD(f_i(h_i, φ), φ, α) .................. then body_epochs passes over the body
    φ ← 1 / |I| · Σ_{i∈I} φ_i ..................... grouping = OneGroup(), aggregate = Mean()

Members weigh by their samples (the paper: alike, `[method.aggregate] weights = "uniform"`). The authors' code trains
heads for at least ten epochs more before its last test, and FedAvg's model too: its last figures are of fine-tuned
models. Nothing of the kind is done here. Its defaults: four epochs for the head and one for the body, batches of 10,
lr = 0.01, momentum 0.5, weight decay 1e-4. What is said of the head in FedPer holds here too.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local import HeadFirst
from disue.parts.start import FromGroup


def fedrep(local: Local = HeadFirst()) -> Composed[Any, Any, Any]:
    """One body for everybody, and a head for each client that is trained before the body moves."""
    return Composed(FromGroup(), local, OneGroup(), Mean(), NoExpert())
