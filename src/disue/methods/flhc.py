"""FL+HC (Briggs, Fan, Andras, IJCNN 2020, arXiv 2004.11791), Algorithm 1.

    FedAvg for t₁ rounds ................................... grouping = Linkage(after = t₁), one group until then
    every client trains from w_{t₁} ........................ a survey before round t₁, epochs = 0 (a round's)
    hierarchical clustering of Δ, cut at a distance ........ k groups, or k = 0 and distance
    one FedAvg per cluster from w_{t₁}, for good ........... start = FromGroup(), aggregate = Mean()

The paper compares L1, L2 and cosine distances under single, complete, average and Ward's linkage, and clusters after 1
to 10 rounds: `[method.grouping] metric, linkage` and `after`. Here it is L2 and Ward's linkage unless said. L1 must see
the single updates. With k = 0 and no distance the silhouette says how many groups there are.

Deviates: the updates of the survey are discarded; clusters go on from w_{t₁}.
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


def flhc(local: Local = Erm(), k: int = 2, distance: float | None = None, after: int = 5) -> Composed[Any, Any, Any]:
    """One model at first, then one per group of clients with similar updates.

    k         number of groups; 0: cut at distance, or where the silhouette is largest
    distance  with k = 0 the distance of updates above which nothing is merged
    after     rounds with one model
    """
    grouping = Linkage(k or None, distance, metric="euclidean", linkage="ward", part="whole", after=after, epochs=0)
    return Composed(FromGroup(), local, grouping, Mean(), NoExpert())
