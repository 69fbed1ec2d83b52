"""A study whose runs are made up: figures by (setting, row, seed), without training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disue.study.plan import Chosen, Study
from disue.study.results import Results, Run

DATA = {"name": "digits", "variant": "bundled", "sizes": [1437, 360], "hash": "0123456789abcdef", "note": ""}


def study(folder: Path, text: str, scale: str = "") -> Study:
    (folder / "s.toml").write_text(text)
    return Study.read(folder / "s.toml", scale)


def results(
    plan: Study,
    figures: Mapping[tuple[str, str, int], Mapping[str, float | None]],
    chosen: Chosen | None = None,
    conditions: Mapping[tuple[str, str, int], Mapping[str, str]] | None = None,
) -> Results:
    """Metrics of each run; names that begin with `totals.` are totals. All runs of a seed share their conditions."""
    runs = []
    for job in plan.finals(chosen or {}):
        cell = (job.setting, job.method, job.seed)
        if cell not in figures:
            continue
        found = figures[cell]
        summary: dict[str, Any] = {
            "metrics": {k: {"final": v, "last10": v} for k, v in found.items() if not k.startswith("totals.")},
            "totals": {k.removeprefix("totals."): v for k, v in found.items() if k.startswith("totals.")},
            "data": DATA,
            "partition": {"kind": "dirichlet", "hash": f"partition{job.seed:015d}"},
            "conditions": {"start": f"s{job.seed}", "cohorts": f"c{job.seed}", **((conditions or {}).get(cell, {}))},
        }
        runs.append(Run(job, summary))
    return Results(plan, chosen or {}, tuple(runs))
