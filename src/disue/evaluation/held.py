"""Tests on every client's own samples: held out of its training data, or the data set's own for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from disue.core.checks import Float64, IntVector
from disue.core.world import Network
from disue.evaluation.accuracy import outputs
from disue.evaluation.local import majority, on_own
from disue.evaluation.plan import On, Pair, Plan, TestBed

K = TypeVar("K")
BLOCK = 4000  # samples gathered before the models see them: few long passes instead of many short ones


def source(clients: TestBed[K], on: On) -> Callable[[int], Pair]:
    """Where a client's own test samples come from."""
    if on == "validation":
        return clients.validation_of
    return clients.natural_test if clients.local_test == "natural" else clients.held


def held(network: Network, plan: Plan, clients: TestBed[K], *, on: On) -> dict[str, Float64]:
    """Columns (n,) of local accuracy on own samples; NaN for a client that has none."""
    columns = plan.columns()
    for members, pairs in _blocks(plan, source(clients, on)):
        for at, (_, y) in zip(members.tolist(), pairs, strict=True):
            if y.size:
                shares = np.bincount(y, minlength=clients.classes)[None, :] / y.size
                columns["majority_local"][at] = majority(plan.counts[at : at + 1], shares)[0]
        for row, vector in plan.models.items():
            users = np.flatnonzero([any(v.rows[at] == row for v in plan.views) for at in members]).tolist()
            if not users:
                continue
            logits = outputs(network, vector, np.concatenate([pairs[at][0] for at in users]))
            ends = np.cumsum([len(pairs[at][1]) for at in users])
            for at, mine in zip(users, np.split(logits, ends[:-1]), strict=True):
                client, y = int(members[at]), pairs[at][1]
                for view in (v for v in plan.views if v.rows[client] == row):
                    prior = plan.shares[client]
                    columns[f"{view.name}_local"][client] = on_own(mine, y)
                    columns[f"{view.name}_prior_local"][client] = on_own(mine, y, prior, view.scale)
        for at, client in enumerate(members.tolist()):
            if client in plan.own:
                x, y = pairs[at]
                columns["own_local"][client] = on_own(outputs(network, plan.own[client], x), y)
    return columns


def _blocks(plan: Plan, take: Callable[[int], Pair]) -> Iterator[tuple[IntVector, list[Pair]]]:
    """Positions of clients with their samples, `BLOCK` samples or a little more at a time."""
    members: list[int] = []
    pairs: list[Pair] = []
    for at, client in enumerate(plan.ids.tolist()):
        members.append(at)
        pairs.append(take(client))
        if sum(len(y) for _, y in pairs) >= BLOCK:
            yield np.array(members, np.int64), pairs
            members, pairs = [], []
    if members:
        yield np.array(members, np.int64), pairs
