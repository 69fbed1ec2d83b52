"""The table of partition kinds, and `make`, which reads a kind's keys from its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from disue.core.errors import UserError, unknown
from disue.core.streams import Streams
from disue.data.dataset import Dataset
from disue.data.draws import dirichlet, iid, natural, shards
from disue.data.partition import Partition
from disue.data.repairs import class_dirichlet
from disue.data.scenarios import cluster_dirichlet, disjoint_labels, mixed, permuted_labels, rotated

KINDS: dict[str, Callable[..., Partition]] = {
    "dirichlet": dirichlet,
    "class-dirichlet": class_dirichlet,
    "iid": iid,
    "shards": shards,
    "natural": natural,
    "rotated": rotated,
    "permuted-labels": permuted_labels,
    "disjoint-labels": disjoint_labels,
    "cluster-dirichlet": cluster_dirichlet,
    "mixed": mixed,
}


def keys(kind: str) -> dict[str, inspect.Parameter]:
    """The spec keys of a kind with their defaults and annotations, in order."""
    if kind not in KINDS:
        raise unknown("partition.kind", str(kind), KINDS)
    found = inspect.signature(KINDS[kind]).parameters
    return {name: p for name, p in found.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


def make(
    data: Dataset, kind: str = "dirichlet", *, streams: Streams, clients: int | None = None, **arguments: object
) -> Partition:
    """A partition of the training rows, drawn from the stream "partition" of `streams`.

    clients: how many; None takes the kind's default (100). arguments: the other keys of the kind, see `keys`.
    Raises `UserError` for an unknown kind or key and for numbers that do not fit the data.
    """
    known = keys(kind)
    given = dict(arguments) if clients is None else {"clients": clients, **arguments}
    for name in given:
        if name not in known:
            if name == "clients":
                raise UserError(
                    f'partition.clients: kind "{kind}" takes the clients from the data', key="partition.clients"
                )
            raise unknown(f"partition ({kind})", name, known)
    return KINDS[kind](data, streams("partition"), **given)
