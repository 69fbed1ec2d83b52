"""PACFL (Vahidian, Morafah, Wang, Kungurtsev, Chen, Shah, Lin, AAAI 2023, arXiv 2209.10526), Algorithm 1.

    U_k: p left singular vectors of each class of the client's data .... a probe before round 0, no training
    A_ij: smallest principal angle of U_i and U_j, or their sum ........ grouping = PrincipalAngles(measure)
    hierarchical clustering of A, cut at β ............................. k groups, or k = 0 and beta
    one FedAvg per cluster ............................................. start = FromGroup(), aggregate = Mean()

The bases show the server what the clients' data look like, so this sees more of them than any update does.

Deviates: the angles are the principal ones of the spans. The authors' code takes the least angle between any two basis
vectors instead (`[method.grouping] entrywise = true`; here without the vectors' arbitrary signs), and its "average"
linkage lets the halves of a cluster weigh alike whatever their sizes (`linkage = "weighted"`). Inputs are those of the
network, not raw pixels, and every class sends p vectors; under Dirichlet partitions the authors' code shares twenty
among them. β then means other angles than the published 4.9 degrees.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import PrincipalAngles
from disue.parts.local import Erm
from disue.parts.start import FromGroup


def pacfl(local: Local = Erm(), k: int = 2, beta: float | None = None) -> Composed[Any, Any, Any]:
    """One model per group of clients whose data span similar subspaces.

    k     number of groups; 0: as many as lie more than beta apart
    beta  with k = 0 the angle in degrees up to which groups are merged
    """
    return Composed(FromGroup(), local, PrincipalAngles(k, beta), Mean(), NoExpert())
