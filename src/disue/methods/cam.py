"""Clustered additive modelling (Ma, Zhou, Long, Jiang, Zhang, NeurIPS 2023), Fed-CAM on IFCA and on FeSEM.

    y = h(x; Θ_g) + f(x; Θ_k) ........................... an additive model: tensors shared.* are Θ_g, own.* are Θ_k
    clients are assigned, by the loss of the sum ........ ifca-cam: start = EveryGroup(choice="loss"), ByChoice(k)
                         or by the distance to Θ_k ...... fesem-cam: start = FromGroup(), Nearest(k, part="own.*")
    Θ_g and Θ_k in turn predict the other's residual .... local = Branches(order="shared-first")
    Θ_g ← mean over all, Θ_k ← mean over members ........ aggregate = SharedMean()

Both branches are of the kind that [model] names, drawn apart. The first group starts with an own branch that adds
nothing, so the common start is h alone; in IFCA the others' own branches speak from the start, as equal ones would tie
for ever. It takes twice the weights, bytes and passes: the fair twin of fedavg or ifca has `[model] additive = true`.

Checked against the paper's abstract: the sum, the alternation, what is averaged over whom. Recalled, unchecked: that
the shared branch is trained first, each for all epochs; weights of clients are those of ifca and fesem.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.core.layout import OWN
from disue.methods.composed import Composed
from disue.parts.aggregate import SharedMean
from disue.parts.expert import NoExpert
from disue.parts.grouping import ByChoice, Nearest
from disue.parts.local import Branches
from disue.parts.start import EveryGroup, FromGroup


def ifca_cam(local: Local = Branches(), k: int = 2) -> Composed[Any, Any, Any]:
    """One model for all, plus one per group that every client chooses by the loss of the sum.

    k  number of groups; all k own branches go to every client of a cohort
    """
    return Composed(EveryGroup(), local, ByChoice(k), SharedMean(), NoExpert())


def fesem_cam(local: Local = Branches(), k: int = 2) -> Composed[Any, Any, Any]:
    """One model for all, plus one per group of clients whose own branches are near.

    k  number of groups
    """
    return Composed(FromGroup(), local, Nearest(k, OWN.patterns[0]), SharedMean(weights="uniform"), NoExpert())
