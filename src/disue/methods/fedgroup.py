"""FedGroup (Duan, Liu, Ji, Liu, Liang, Chen, Tan, 2021, arXiv 2010.06870), Algorithms 1 to 3; FlexCFL is its extension.

    group cold start: min(20k, N) clients pre-train from w₀ ........ grouping = ColdStart(k), a survey before round 0
    EDC: V = the k main directions of ΔW, K-means on cos(ΔW, V) .... measure = "edc"; "madc": its complete linkage
    client cold start: the group nearest by cosine to its update ... the same survey
    one FedAvg per group ........................................... start = FromGroup(), aggregate = Mean()

The directions follow from the inner products of the updates, so no single update is looked at.

Deviates: pre-training is one pass over the data, not fifty steps, and of every client before round 0, not at its first
visit: both start from w₀, so a client's group is the same. What was pre-trained is discarded; in the authors' code the
groups' models begin with it. A group's direction weighs its members by their samples. FlexCFL's migration under
distribution shift and the learning rate between groups (0 by default) are not here.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import ColdStart
from disue.parts.local import Erm
from disue.parts.start import FromGroup


def fedgroup(local: Local = Erm(), k: int = 3) -> Composed[Any, Any, Any]:
    """One model per group of clients whose first updates have the same main direction.

    k  number of groups
    """
    return Composed(FromGroup(), local, ColdStart(k), Mean(), NoExpert())
