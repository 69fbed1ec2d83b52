"""DFRD (Luo, Wang, Fu, Li, Lan, Gao, NeurIPS 2023, arXiv 2309.13546), models of one shape.

    w ← Σ_k p_k w_k .............................. grouping = OneGroup(), aggregate = Mean()
    y ~ Σ_k n_k^y ("label sampling") ............. expert: labels = "prior"
    τ_k^y = n_k^y / Σ n_j^y ("dynamic weighting")  expert: weights = "count", the cohort's clients teach, by logits
    generator: fidelity ........................... CE(Σ_k τ_k^y f_k(x), y)
               transferability .................... −KL where the clients name the label, and the student another class
               diversity .......................... exp(−mean of pairs' distances)
    a moving average of the generator over rounds  w̃ ← λ w̃ + (1 − λ) w (ema = λ)
    student: KL on G, and α times KL on G̃ ......... ema_weight = α; G̃ as it stood before the round
    the result starts the next round ............. start = FromExpert()

Fidelity, transferability, diversity, moving average, weighting and sampling are the paper's; distances of pairs are
those of FedGen and FedFTG. Noise and label enter the generator side by side.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import Distil
from disue.parts.grouping import OneGroup
from disue.parts.local import Erm
from disue.parts.start import FromExpert

PAPER = {"fidelity": "mixture", "mixture": "logit", "disagree": "disagree-correct", "mask": "none", "void": 1.0}


def dfrd(
    local: Local = Erm(), iterations: int = 10, ema: float = 0.5, ema_weight: float = 0.5
) -> Composed[Any, Any, Any]:
    """One model for everybody, distilled from the clients by a generator and by its memory of earlier rounds.

    iterations  of a round's distillation; 0 is FedAvg, bit for bit
    ema         λ of the generator's moving average over rounds; 0 keeps none
    ema_weight  α, the weight of the student's loss on what the moving average makes
    """
    part = Distil(
        "generator",
        iterations=iterations,
        teachers="clients",
        warmup=0,
        ramp=0,
        ema=ema,
        ema_weight=ema_weight,
        **PAPER,
    )
    return Composed(FromExpert(), local, OneGroup(), Mean(), part)
