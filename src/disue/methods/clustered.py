"""Clustered federated learning in its plainest form: group by the cosine of updates, one model per group.

    cosine of the updates ........ grouping = Linkage(...), agglomerative, as FL+HC and FedClust do
    one FedAvg per group ......... start = FromGroup(), aggregate = Mean()

Groups are formed once, from one epoch of every client (its updates serve the grouping and are discarded),
and kept. This is DisUE's host: `with_expert(clustered(...), Distil(...))`.
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


def clustered(local: Local = Erm(), k: int = 10) -> Composed[Any, Any, Any]:
    """One model per group of clients with similar updates.

    k  number of groups
    """
    return Composed(FromGroup(), local, Linkage(k=k), Mean(), NoExpert())
