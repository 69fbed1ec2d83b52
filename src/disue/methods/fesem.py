"""FeSEM and WeCFL: groups by the distance of models.

FeSEM (Long, Xie, Shen, Zhou, Wang, Jiang, World Wide Web 2022, arXiv 2108.08647), Algorithm 1:
    r_i = argmin_k ‖W_i − W̃_k‖² .................. grouping = Nearest(k)
    W̃_k ← mean of the members' W_i ............... aggregate = Mean(weights="uniform")
    members start from W̃_k ....................... start = FromGroup()

WeCFL (Ma, Long, Zhou, Jiang, Zhang, 2022, arXiv 2202.06187) weighs members by their samples: Mean(). With clients of
one size both are the same.

Deviates: centres are parted once by k-means on the first cohort's ends, where the paper starts from random centres, to
which all clients are about equally far. The authors' code compares one layer; `[method.grouping] part` says which.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import Nearest
from disue.parts.local import Erm
from disue.parts.start import FromGroup


def fesem(local: Local = Erm(), k: int = 2) -> Composed[Any, Any, Any]:
    """One model per group of clients with similar models, all of which weigh the same.

    k  number of groups
    """
    return Composed(FromGroup(), local, Nearest(k), Mean(weights="uniform"), NoExpert())


def wecfl(local: Local = Erm(), k: int = 2) -> Composed[Any, Any, Any]:
    """One model per group of clients with similar models, weighed by their samples.

    k  number of groups
    """
    return Composed(FromGroup(), local, Nearest(k), Mean(), NoExpert())
