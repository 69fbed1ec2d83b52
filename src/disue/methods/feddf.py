"""FedDF (Lin, Kong, Stich, Jaggi, NeurIPS 2020, arXiv 2006.07242), Algorithm 1, models of one shape.

    x_t ← Σ_k p_k x_k ................................... grouping = OneGroup(), aggregate = Mean()
    minimise KL(σ(1/|S| Σ_k f(x_k, d)) ‖ σ(f(x_t, d))) .. expert = EnsembleDistil(steps, batch, lr)
    the result starts the next round .................... start = FromExpert()

d are unlabelled inputs that the server owns: [data] public names another set, [data] public_share takes them from the
clients. The row is marked in every table, as other methods have no such inputs. The authors also stop early on a
labelled validation set of the server's; that is a second privilege, and here the number of steps is fixed instead.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import EnsembleDistil
from disue.parts.grouping import OneGroup
from disue.parts.local import Erm
from disue.parts.start import FromExpert


def feddf(local: Local = Erm(), steps: int = 100, batch: int = 128, lr: float = 1e-3) -> Composed[Any, Any, Any]:
    """One model for everybody, distilled from the cohort's models on public inputs.

    steps  steps of distillation in a round; 0 is FedAvg, bit for bit
    batch  public inputs a step
    lr     learning rate of the server's Adam, which falls to 0 along half a cosine
    """
    return Composed(FromExpert(), local, OneGroup(), Mean(), EnsembleDistil(steps, batch, lr))
