"""Tests on every client's own samples: held out of its training data, or the data set's own for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from disue.core.checks import Array, Float64, IntVector
from disue.core.world import Network
from disue.evaluation.accuracy import outputs
from disue.evaluation.local import majority, on_own
from disue.evaluation.passes import Passes
from disue.evaluation.plan import Columns, On, Own, Pair, Plan, TestBed

K = TypeVar("K")
BLOCK = 4000  # samples gathered before the models see them: few long passes instead of many short ones
Block = tuple[IntVector, Array, IntVector, IntVector]  # positions of clients, x, y, how many samples each has


def kind_of(clients: TestBed[K], on: On) -> Own:
    """Where a client's own test samples come from."""
    if on == "validation":
        return "validation"
    return "natural" if clients.local_test == "natural" else "held"


def samples(clients: TestBed[K], client: int, kind: Own) -> Pair:
    """One client's own test samples."""
    take = {"validation": clients.validation_of, "natural": clients.natural_test, "held": clients.held}[kind]
    return take(client)


def held(network: Network, plan: Plan, clients: TestBed[K], *, on: On) -> dict[str, Float64]:
    """Columns (n,) of local accuracy on own samples; NaN for a client that has none."""
    columns, classes = plan.columns(), clients.classes
    passes = Passes(network, plan.models.values())
    for members, x, y, lengths in _blocks(plan, clients, kind_of(clients, on)):
        whole = passes.on(x)
        owner = np.repeat(np.arange(members.size), lengths)
        table = np.bincount(owner * classes + y, minlength=members.size * classes).reshape(-1, classes)
        some = lengths > 0
        shares = table[some] / lengths[some][:, None]
        columns["majority_local"][members[some]] = majority(plan.counts[members[some]], shares)
        for row, vector in plan.models.items():
            uses = np.any([view.rows[members] == row for view in plan.views], axis=0)
            if not uses.any():
                continue
            mine = uses[owner]
            users, of = members[uses], lengths[uses]
            logits = whole.logits(vector) if uses.all() else outputs(network, vector, x[mine])
            for view in plan.views:
                who = view.rows[users] == row
                rows = slice(None) if who.all() else np.repeat(who, of)
                told = logits[rows], y[mine][rows], of[who]
                columns[f"{view.name}_local"][users[who]] = on_own(*told)
                priors = plan.shares[users[who]]
                columns[f"{view.name}_prior_local"][users[who]] = on_own(*told, priors, view.scale)
        for name, models in plan.owned.items():
            for at in np.flatnonzero(np.isin(members, list(models))).tolist():
                client, rows = int(members[at]), owner == at
                found = on_own(outputs(network, models[client], x[rows]), y[rows], lengths[at : at + 1])
                columns[f"{name}_local"][client] = found[0]
    return columns


def _blocks(plan: Plan, clients: TestBed[K], kind: Own) -> Iterator[Block]:
    """Clients with their samples, `BLOCK` samples or a little more at a time."""
    if isinstance(clients, Columns):
        lengths, first = clients.own_sizes(plan.ids, kind), 0
        ends = np.cumsum(lengths)
        while first < lengths.size:
            gone = int(ends[first - 1]) if first else 0
            last = min(int(np.searchsorted(ends, gone + BLOCK)) + 1, lengths.size)
            members = np.arange(first, last)
            yield members, *clients.own_tests(plan.ids[members], kind), lengths[members]
            first = last
        return
    members_, pairs = [], []
    for at, client in enumerate(plan.ids.tolist()):
        members_.append(at)
        pairs.append(samples(clients, client, kind))
        if sum(len(y) for _, y in pairs) >= BLOCK or at + 1 == plan.ids.size:
            x, y = (np.concatenate(part) for part in zip(*pairs, strict=True))
            yield np.array(members_, np.int64), x, y, np.array([len(one) for _, one in pairs], np.int64)
            members_, pairs = [], []
