"""Clients that were kept out of training: what the expert is worth to them, before and after a local epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from disue.core.checks import IntVector, Vector
from disue.core.method import Served
from disue.core.streams import Streams
from disue.core.world import Network
from disue.evaluation.evaluate import Evaluation, evaluate
from disue.evaluation.plan import On, TestBed

K = TypeVar("K")


def newcomers(
    network: Network,
    vector: Vector,
    ids: IntVector,
    clients: TestBed[K],
    train: Callable[[int, Vector], Vector] | None = None,
    *,
    scale: float = 1.0,
    on: On = "test",
    streams: Streams = Streams(0),
    draw: int = 1000,
) -> Evaluation:
    """`newcomer_0` (the served vector as received), `newcomer_prior` (with the client's own label prior) and,
    where `train(client, vector)` gives the end of one local epoch, `newcomer_1`; `newcomer_majority`, what always
    naming a client's commonest label gives: means over `ids`, in percent.

    Columns of the same names hold each newcomer's figures. Under both local tests the names of the split one
    end in `_split`. scale is that of the served head; draw as in `evaluate`.
    """
    served = Served(vector[None, :], np.zeros(ids.size, np.int64), expert=0, scale=scale)
    ends = {} if train is None else {client: train(client, vector) for client in ids.tolist()}
    found = evaluate(network, served, ids, clients, ends, on=on, streams=streams, draw=draw)
    names = {
        "expert_local": "newcomer_0",
        "expert_prior_local": "newcomer_prior",
        "own_local": "newcomer_1",
        "majority_local": "newcomer_majority",
    }
    names.update({f"{name}_split": f"{new}_split" for name, new in list(names.items())})
    return Evaluation(
        {new: found.metrics[name] for name, new in names.items() if name in found.metrics},
        ids,
        {new: found.clients[name] for name, new in names.items() if name in found.clients},
    )
