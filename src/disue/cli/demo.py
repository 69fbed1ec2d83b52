"""`disue demo`: four methods on real data, side by side, in less than a minute.

The settings below were fixed beforehand. Learning rates were chosen per method from one grid (0.02, 0.05, 0.1, 0.2,
0.4) by accuracy on validation data (of the group models for the clustered method, of what clients receive for the
others), with three seeds that the demo does not use; test data played no part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from disue.cli.display import PRIOR
from disue.cli.side import run_side_by_side
from disue.cli.tables import percent, seconds, shown
from disue.runs.spec import Spec

ROUNDS = 60
CLIENTS = 20
COMMON: dict[str, Any] = {
    "seed": 0,
    "data": {"name": "digits"},
    "partition": {"kind": "dirichlet", "clients": CLIENTS, "alpha": 0.1},
    "cohort": {"share": 0.25},
    "model": {"name": "tiny"},
    "evaluate": {"every": 5},
    "checkpoint": {"every": 20},
}
LOCAL = {"epochs": 2, "batch": 20, "clip": 10.0}
OURS = "DisUE"
ROWS: dict[str, tuple[dict[str, Any], float]] = {  # label → [method], learning rate
    "FedAvg": ({"name": "fedavg"}, 0.4),
    "FedAvg with momentum": ({"name": "fedavg", "aggregate": {"momentum": 0.7}}, 0.1),
    "clustered": ({"name": "clustered", "k": 4}, 0.2),
    OURS: ({"name": "disue", "k": 4}, 0.1),
}


def specs(rounds: int = ROUNDS) -> dict[str, Spec]:
    """The demo's four specs by label."""
    return {
        label: Spec.of({**COMMON, "rounds": rounds, "local": {**LOCAL, "lr": lr}, "method": method})
        for label, (method, lr) in ROWS.items()
    }


@dataclass(frozen=True)
class Line:
    """A row of the demo's table."""

    label: str
    served: float
    local: float | None
    groups: int
    took: float
    tests: int


def line(label: str, summary: Mapping[str, Any]) -> Line:
    metrics, totals = summary["metrics"], summary["totals"]
    prior = next((metrics[name]["last10"] for name in PRIOR if name in metrics), None)
    took = sum(value for name, value in totals.items() if name.startswith("seconds_"))
    return Line(
        label,
        metrics["served_global"]["last10"],
        prior,
        int(metrics["groups"]["final"]),
        took,
        summary["data"]["sizes"][1],
    )


def sentence(lines: list[Line], rounds: int) -> str:
    """What was found, from the numbers alone."""
    ours = next(row for row in lines if row.label == OURS)
    others = [row for row in lines if row.label != OURS]
    best = max(others, key=lambda row: row.served)
    gain = ours.served - best.served
    error = 100 * (ours.served / 100 * (1 - ours.served / 100) / ours.tests) ** 0.5  # of one accuracy
    if abs(gain) < 0.05:
        compared = f"as many as with {best.label}, the best of the other three"
    else:
        compared = f"{abs(gain):.1f} points {'more' if gain > 0 else 'fewer'} than with {best.label}"
        compared += f" ({best.served:.1f} %), the best of the other three"
    out = (
        f"After {rounds} rounds with {CLIENTS} clients that hold few digits each, the model that clients receive from "
        f"{OURS} knows {ours.served:.1f} % of the test images, {compared}."
    )
    near = max(lines, key=lambda row: row.local or 0.0)
    if near.label != OURS and near.local is not None and ours.local is not None:
        out += f" On the clients' own labels {near.label} is ahead ({near.local:.1f} % against {ours.local:.1f} %)."
    chance = f" With one seed and {ours.tests} test images such a difference is within chance."
    return out + (chance if abs(gain) < 2 * error else " This is one seed.")


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder.  [default: runs/demo, new]")
@click.option("--rounds", type=click.IntRange(min=1), default=ROUNDS, show_default=True, help="Rounds of each run.")
def demo(out: Path | None, rounds: int) -> None:
    """Compare FedAvg, FedAvg with momentum, clustered and DisUE on real data, offline, in less than a minute."""
    import disue

    where = free(Path("runs") / "demo") if out is None else out
    folders = {label: where / label for label in ROWS}
    # the longest run goes first, so that two processes end together
    summaries = run_side_by_side(specs(rounds), folders, order=list(reversed(ROWS)))
    lines = [line(label, summaries[label]) for label in ROWS]
    page = disue.report(list(folders.values()), where / "report.html")
    click.echo(sentence(lines, rounds) + "\n")
    shown(
        [(r.label, percent(r.served), percent(r.local), r.groups, seconds(r.took)) for r in lines],
        ("method", "served, %", "local with own prior, %", "groups", "time"),
        right=(1, 2, 3, 4),
    )
    click.echo("\nMeans of the last ten rounds. served: what clients receive next, on all test images; local: the same")
    click.echo("on each client's own labels, its label shares known to the device.")
    click.echo(f"\nreport: {page}")


def free(path: Path) -> Path:
    """`path`, or with the first number behind it that is not taken."""
    at, out = 1, path
    while out.exists():
        at += 1
        out = path.with_name(f"{path.name}-{at}")
    return out
