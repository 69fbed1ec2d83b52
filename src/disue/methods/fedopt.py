"""Server optimisers.

FedAvgM (Hsu, Qi, Brown, 2019, arXiv 1909.06335):
    v ← β v + Δ,  w ← w + β v + Δ ............ aggregate = Mean(momentum=β, nesterov=True)

FedAdam and FedYogi (Reddi, Charles, Zaheer, Garrett, Rush, Konečný, Kumar, McMahan, ICLR 2021, arXiv 2003.00295),
Algorithm 2:
    m, v, w ← w + η m / (√v + τ) ............. aggregate = Adaptive(rule, ...)

Momentum β makes the server's steps 1 / (1 − β) times as long: divide the clients' learning rate where it diverges.
FedAdam has no correction of the bias, as in the paper.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Adaptive, Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local import Erm
from disue.parts.start import FromGroup


def fedavgm(local: Local = Erm(), momentum: float = 0.9, nesterov: bool = True) -> Composed[Any, Any, Any]:
    """One model for everybody, with momentum on the server.

    momentum  of the server; 0 is FedAvg
    nesterov  Nesterov's form, which the paper's figures are of
    """
    mean = Mean(momentum=momentum, nesterov=nesterov and momentum > 0)
    return Composed(FromGroup(), local, OneGroup(), mean, NoExpert())


def fedadam(
    local: Local = Erm(), server_lr: float = 0.01, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3
) -> Composed[Any, Any, Any]:
    """One model for everybody; the server steps by Adam's rule.

    server_lr  factor of the step
    beta1      decay of the first moment
    beta2      decay of the second moment
    tau        added to the root of the second moment
    """
    return Composed(FromGroup(), local, OneGroup(), Adaptive("adam", server_lr, beta1, beta2, tau), NoExpert())


def fedyogi(
    local: Local = Erm(), server_lr: float = 0.01, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3
) -> Composed[Any, Any, Any]:
    """One model for everybody; the server steps by Yogi's rule.

    server_lr  factor of the step
    beta1      decay of the first moment
    beta2      decay of the second moment
    tau        added to the root of the second moment
    """
    return Composed(FromGroup(), local, OneGroup(), Adaptive("yogi", server_lr, beta1, beta2, tau), NoExpert())
