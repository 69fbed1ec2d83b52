"""What a finished run's models are worth to clients that were kept out of training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from disue.core.checks import IntVector, Vector
from disue.core.clients import personal_of
from disue.core.method import Served
from disue.core.orders import Orders, Report
from disue.engine.engine import Engine
from disue.evaluation import newcomers
from disue.evaluation.accuracy import mean_loss
from disue.runs.personal import made
from disue.runs.simulation import Simulation


def late(engine: Engine, setup: Simulation, state: Any, round: int) -> dict[str, float]:
    """`newcomer_…` of what they receive; `…_average` of the average; `…_group` of the group model that each
    newcomer would take, the one with the least loss on its own training data, where there are several."""
    served = setup.method.serve(setup.world, state, setup.late)
    receives = served.receives if served.expert is None else np.full(setup.late.size, served.expert)
    rows = {"": receives}
    if served.average is not None:
        rows["_average"] = np.full(setup.late.size, served.average)
    models = setup.method.standing(state).numbers.size
    if models > 1:
        rows["_group"] = preferred(setup, served, models)
    out: dict[str, float] = {}
    for suffix, row in rows.items():
        found = _scores(engine, setup, round, served, row)
        out.update({f"{k}{suffix}": v for k, v in found.items() if not suffix or "majority" not in k})
    return out


def preferred(setup: Simulation, served: Served, models: int) -> IntVector:
    """(n,) of the first `models` rows, which are the groups', the one with the least mean loss on a newcomer's data."""
    out = np.zeros(setup.late.size, np.int64)
    for at, client in enumerate(setup.late.tolist()):
        x, y = setup.federation.train(client)
        network = setup.world.network
        losses = [mean_loss(network, np.ascontiguousarray(vector), x, y) for vector in served.models[:models]]
        out[at] = int(np.argmin(losses))
    return out


def _scores(engine: Engine, setup: Simulation, round: int, served: Served, rows: IntVector) -> dict[str, float]:
    """Means over the newcomers of each figure when each has its row of the served models."""
    columns = dict[str, list[float]]()
    for row in np.unique(rows).tolist():
        vector = np.ascontiguousarray(served.models[row])
        who = setup.late[rows == row]
        ends = _epoch(engine, setup, round, vector, who)
        found = newcomers(
            setup.world.network,
            vector,
            who,
            setup.federation,
            lambda client, start, ends=ends: ends.get(client, start),  # type: ignore[misc]
            scale=served.scale if row == served.expert else 1.0,
            on=setup.spec.evaluate.on,  # type: ignore[arg-type]
            streams=setup.world.streams,
        )
        for name, values in found.clients.items():
            columns.setdefault(name, []).extend(values.tolist())
    return {name: float(np.nanmean(values)) for name, values in columns.items() if not np.isnan(values).all()}


def _epoch(engine: Engine, setup: Simulation, round: int, vector: Vector, ids: IntVector) -> dict[int, Vector]:
    """What newcomers have after one local epoch from a vector; nothing is kept of it.

    Where the local part makes models of the clients' own it is that: made by its rule of the epoch's end and of what
    the client would keep, or fine-tuned from the vector as the part says.
    """
    local = setup.method.local.at(round)
    personal = personal_of(local)
    orders = Orders(
        round=round,
        ids=ids,
        starts=vector[None, :],
        which=np.zeros((ids.size, 1), np.int64),
        origin=vector,
        local=local,
        report=Report(),
        stream="newcomers",
    )
    if personal is not None and personal.phases:
        return made(engine, setup, orders)
    trial = engine.answer(setup.world, replace(orders, local=local.brief(1)))
    ends = dict(trial.ends)
    if personal is None or not ends:
        return ends
    known, starts = np.array(sorted(ends), np.int64), np.stack([ends[i] for i in sorted(ends)])
    after = replace(orders, ids=known, starts=starts, which=np.arange(known.size)[:, None], origin=None)
    return made(engine, setup, after, trial.memories)
