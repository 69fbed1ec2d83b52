"""FedClust (Islam, Javaherian, Xu, Yuan, Chen, Tzeng, ICPP 2024, arXiv 2407.07124).

    every client trains from w₀, sends its final layer ..... a survey before round 0, part = "head", epochs = 0
    proximity matrix: Euclidean distances .................. metric = "euclidean"
    hierarchical clustering, cut at λ ...................... grouping = Linkage: k groups, or k = 0 and distance
    one FedAvg per cluster, from w₀ ........................ start = FromGroup(), aggregate = Mean()
    newcomers: the nearest cluster by the final layer ...... who missed the survey, when first seen

`epochs = 0` is the training of a round. All start from w₀, so distances of layers are distances of their updates. With
k = 0 and no distance the silhouette says how many groups there are. λ is a length, and belongs to a model, a rate and a
number of steps.

Deviates: the linkage is average, which the paper may have otherwise (`[method.grouping] linkage`). Who comes late is
compared by the update of its first round.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import Linkage
from disue.parts.local import Erm
from disue.parts.start import FromGroup


def fedclust(local: Local = Erm(), k: int = 2, distance: float | None = None) -> Composed[Any, Any, Any]:
    """One model per group of clients whose last layers were trained to similar weights.

    k         number of groups; 0: cut at distance, or where the silhouette is largest
    distance  with k = 0 the distance of last layers above which nothing is merged
    """
    grouping = Linkage(k or None, distance, metric="euclidean", part="head", epochs=0)
    return Composed(FromGroup(), local, grouping, Mean(), NoExpert())
