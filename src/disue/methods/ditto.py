"""Ditto (Li, Hu, Beirami, Smith, ICML 2021, arXiv 2012.04221), Algorithm 1, with FedAvg as its solver.

    Δ_k ← SGD on F_k from w^t ................................ local = Tethered(tether=λ), its first phase
    v_k ← v_k − η (∇F_k(v_k) + λ (v_k − w^t)), s times ....... its second phase; v_k is the client's memory
    w^{t+1} ← w^t + Σ_k n_k / n · Δ_k ........................ grouping = OneGroup(), aggregate = Mean()

The anchor is the received model w^t, and v_k takes as many steps as the client's share of the federation, on the same
batches, with the same rate: twice the work of FedAvg. The global branch is FedAvg bit for bit. λ = 1 as in the authors'
code, which may also choose λ from {0.1, 1, 2} for each client on validation data; here it is one number for all.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local import Tethered
from disue.parts.start import FromGroup


def ditto(local: Local = Tethered()) -> Composed[Any, Any, Any]:
    """One model for everybody, and beside it a model of each client's own that is pulled towards it."""
    return Composed(FromGroup(), local, OneGroup(), Mean(), NoExpert())
