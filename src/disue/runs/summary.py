"""The numbers of a finished run: metrics as final and mean of the last ten rounds, totals, newcomers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from disue._version import __version__
from disue.core.lots import Lots
from disue.core.rounds import draw_cohort
from disue.evaluation import last, rounds_to
from disue.methods import TABLE
from disue.runs.assemble import mark_of
from disue.runs.federate import Federate
from disue.runs.folder import FORMAT, Row, read_table
from disue.runs.setup import Setup

SECONDS = ("seconds_local", "seconds_server", "seconds_expert", "seconds_evaluate")
SCORES = (
    *("served_", "expert_", "average_", "group_", "own_", "personal_", "majority_", "teachers_", "newcomer_"),
    *("honest_", "worst_honest_", "backdoor_"),
)
GROUPS = ("groups", "ari", "ami", "unplaced", "captured")
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


def conditions(setup: Setup, lots: Lots | None = None) -> dict[str, str]:
    """Hashes of the initial weights and of the cohorts of all rounds: the same in all runs that are compared."""
    cohorts = hashlib.sha256()
    for round in range(setup.spec.rounds):
        cohorts.update(draw_cohort(setup.world, round, setup.cohort, lots).tobytes())
    return {"start": hashlib.sha256(setup.start.tobytes()).hexdigest(), "cohorts": cohorts.hexdigest()}


def reached(rows: Sequence[Row], levels: Iterable[float]) -> dict[str, Any]:
    """Rounds, bytes and client-seconds until what clients receive was at each level; None where it never was."""
    out: dict[str, Any] = {}
    served = [(int(r["round"]), float(r["served_global"])) for r in rows if "served_global" in r]
    for level in levels:
        at = rounds_to([r for r, _ in served], [v for _, v in served], level)
        out[f"rounds_to_{level:g}"] = at
        until = [] if at is None else [r for r in rows if r["round"] <= at]
        for name, spent in (("bytes_to", ("bytes_up", "bytes_down")), ("client_seconds_to", ("client_seconds",))):
            out[f"{name}_{level:g}"] = sum(r[k] for r in until for k in spent) if until else None
    return out


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
    totals.update(reached(rows, setup.spec.evaluate.targets))
    metrics = {name: value for name, value in found.items() if name.startswith(SCORES) or name in GROUPS}
    if complete:
        late = run.side.late(run.state, run.round)
        metrics.update({name: {"final": value, "last10": value} for name, value in late.items()})
    listed = TABLE[str(setup.spec.method["name"])]
    data, partition = setup.facts.data, setup.facts.partition
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
            "name": data["name"],
            "variant": data["variant"],
            "sizes": [data["train"], data["test"]],
            "hash": data["files"][0][1] if data["files"] else "",
            "citation": data["citation"],
            "note": data["note"],
        },
        "partition": {name: partition[name] for name in ("kind", "hash")},
        "conditions": conditions(setup, run.lots.cohort),
        "model": {"name": setup.world.layout.model, "parameters": setup.world.layout.d},
        **_privacy(run, rows),
        **_attack(run),
        "cite": [text for text in (listed.cite, data["citation"]) if text],
    }


def _attack(run: Federate) -> dict[str, Any]:
    """[attack] and who lies; nothing where nobody does."""
    attacked = getattr(run.side, "attacked", None)
    return {} if attacked is None else {"attack": attacked.about()}


def _privacy(run: Federate, rows: Sequence[Row]) -> dict[str, Any]:
    """The block of a protected run; nothing for a plain one."""
    if not run.setup.spec.privacy.on:
        return {}
    from disue.runs.protected import about

    costs = [] if run.folder is None else read_table(run.folder.path / "privacy.csv")
    return {"privacy": about(run, rows, costs)}
