"""The numbers of a finished run: metrics as final and mean of the last ten rounds, totals, newcomers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from disue._version import __version__
from disue.core.checks import Vector
from disue.core.orders import Orders, Report
from disue.evaluation import last, newcomers, rounds_to
from disue.methods import TABLE
from disue.runs.assemble import mark_of
from disue.runs.federate import Federate
from disue.runs.folder import FORMAT, Row

SECONDS = ("seconds_local", "seconds_server", "seconds_expert", "seconds_evaluate")
SCORES = ("served_", "expert_", "average_", "group_", "own_", "majority_", "teachers_", "newcomer_")
GROUPS = ("groups", "ari", "ami", "unplaced")
FIXED = {
    *SECONDS,
    "seconds_moments",
    "bytes_up",
    "bytes_down",
    "client_seconds",
    "cohort",
    "answered",
    "round",
    "clients_dropped",
}


def summary(run: Federate, rows: Sequence[Row], *, complete: bool) -> dict[str, Any]:
    """What summary.json holds; `rows` are those of rounds.csv."""
    setup = run.setup
    found = last([{k: v for k, v in row.items() if k == "round" or k not in FIXED} for row in rows])
    totals: dict[str, Any] = {
        name: sum(row.get(name, 0) for row in rows) for name in (*SECONDS, "client_seconds", "bytes_up", "bytes_down")
    }
    totals["rounds"] = run.round
    totals["clients_dropped"] = int(sum(row.get("clients_dropped", 0) for row in rows))
    totals["unanswered"] = int(sum(row["cohort"] - row["answered"] for row in rows))
    served = [(int(r["round"]), float(r["served_global"])) for r in rows if "served_global" in r]
    for level in setup.spec.evaluate.targets:
        at = rounds_to([r for r, _ in served], [v for _, v in served], level)
        totals[f"rounds_to_{level:g}"] = at
        totals[f"bytes_to_{level:g}"] = (
            None if at is None else sum(r["bytes_up"] + r["bytes_down"] for r in rows if r["round"] <= at)
        )
    metrics = {name: value for name, value in found.items() if name.startswith(SCORES) or name in GROUPS}
    if setup.late.size and complete:
        metrics.update({name: {"final": value, "last10": value} for name, value in late(run).items()})
    listed = TABLE[str(setup.spec.method["name"])]
    data = setup.dataset
    return {
        "format": FORMAT,
        "disue": __version__,
        "method": str(setup.spec.method["name"]),
        "mark": mark_of(setup.method),
        "complete": complete,
        "seed": setup.spec.seed,
        "metrics": metrics,
        "totals": totals,
        "diagnostics": {name: value for name, value in found.items() if name not in metrics},
        "data": {
            "name": data.name,
            "variant": data.variant,
            "sizes": list(data.sizes),
            "hash": data.files[0][1] if data.files else "",
            "citation": data.citation,
            "note": data.note,
        },
        "partition": {"kind": setup.partition.kind, "hash": setup.partition.hash},
        "model": {"name": setup.world.layout.model, "parameters": setup.world.layout.d},
        "cite": [text for text in (listed.cite, data.citation) if text],
    }


def late(run: Federate) -> dict[str, float]:
    """What the run's models are worth to clients that were kept out of training."""
    setup = run.setup
    served = setup.method.serve(setup.world, run.state, setup.late)
    out: dict[str, float] = {}
    rows = {"": served.expert if served.expert is not None else int(served.receives[0])}
    if served.average is not None:
        rows["_average"] = served.average

    def train(client: int, vector: Vector) -> Vector:
        orders = Orders(
            round=run.round,
            ids=np.array([client], np.int64),
            starts=vector[None, :],
            which=np.zeros((1, 1), np.int64),
            origin=vector,
            local=setup.method.local.at(run.round).brief(1),
            report=Report(),
            stream="newcomers",
        )
        ends: dict[int, Vector] = dict(run.engine.answer(setup.world, orders).ends)
        return ends.get(client, vector)

    for suffix, row in rows.items():
        found = newcomers(
            setup.world.network,
            np.ascontiguousarray(served.models[row]),
            setup.late,
            setup.federation,
            train,
            scale=served.scale if row == served.expert else 1.0,
            on=setup.spec.evaluate.on,  # type: ignore[arg-type]
            streams=setup.world.streams,
        )
        out.update({f"{name}{suffix}": value for name, value in found.metrics.items()})
    return out
