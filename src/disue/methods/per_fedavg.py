"""Per-FedAvg (Fallah, Mokhtari, Ozdaglar, NeurIPS 2020, arXiv 2002.07948), Algorithm 1.

    w̃ ← w − α ∇f_i(w; D) ......................................... local = Meta(alpha=α), on one batch
    w ← w − β (I − α ∇²f_i(w; D'')) ∇f_i(w̃; D') .................. on the next ones, β = lr:
        without the Hessian (FO) .................................. order = "first-order"
        ∇²f_i(w) g ≈ (∇f_i(w + δ g) − ∇f_i(w − δ g)) / (2 δ) (HF) . order = "hessian-free", delta=δ
    w ← 1 / r · Σ_i w_i ........................................... grouping = OneGroup(), aggregate = Mean("uniform")
    a client uses w − α ∇f_i(w) ................................... Meta.personal

A pass over the data has half as many steps as FedAvg's (HF: a third), each on twice (thrice) the samples. A client with
fewer batches than a step takes cuts its data into that many parts. One step of adaptation is the paper's; more of them,
`adaptation`, is work that `fedavg-ft` should be given too. Published: α = 0.01, β = 0.001.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local import Meta
from disue.parts.start import FromGroup


def per_fedavg(local: Local = Meta()) -> Composed[Any, Any, Any]:
    """One model for everybody, trained to be good after a step of adaptation to a client's data."""
    return Composed(FromGroup(), local, OneGroup(), Mean(weights="uniform"), NoExpert())
