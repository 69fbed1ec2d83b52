"""MOON (Li, He, Song, CVPR 2021, arXiv 2103.16257), Algorithm 1.

    z, z_glob, z_prev: features under w, the received and the last local model .... local = Contrastive(...)
    ℓ = CE + μ · −log(e^{cos(z, z_glob)/τ} / (e^{cos(z, z_glob)/τ} + e^{cos(z, z_prev)/τ}))
    w ← Σ_k n_k / n · w_k .......................................................... aggregate = Mean()

Deviates: the paper compares the output of a projection head of two layers that is added to the model; here it is the
features before the model's own head, so that MOON and FedAvg train the same model. Published: μ in {0.001 … 10}
(5 on CIFAR-10), τ = 0.5.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local import Contrastive
from disue.parts.start import FromGroup


def moon(local: Local = Contrastive()) -> Composed[Any, Any, Any]:
    """One model for everybody; features are drawn to the received model's."""
    return Composed(FromGroup(), local, OneGroup(), Mean(), NoExpert())
