"""A study whose runs are made up: figures by (setting, row, seed), without training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from disue.study.plan import Chosen, Study
from disue.study.results import Results, Run, collect

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


def folders(plan: Study, out: Path, chosen: Chosen | None = None, *, clients: int = 20, truth: bool = False) -> Results:
    """Run folders of made-up runs: curves that rise to a level of the row, clients spread round it."""
    for job in plan.finals(chosen or {}):
        rng = np.random.default_rng([sum(map(ord, job.setting)), sum(map(ord, job.method)), job.seed])
        level = 30.0 + sum(map(ord, job.method)) % 40 + rng.normal(0, 1.5)
        rounds = job.spec.rounds
        table = []
        for r in range(rounds + 1):
            row: dict[str, Any] = {"round": r, "bytes_up": 1e6, "bytes_down": 2e6, "client_seconds": 3.0}
            if r % job.spec.evaluate.every == 0 or r > rounds - 10:
                row["served_global"] = min(100.0, 10 + level * (1 - np.exp(-3 * r / rounds)) + rng.normal(0, 0.7))
                row |= {"ari": min(1.0, r / rounds), "ami": min(1.0, 0.9 * r / rounds)} if truth else {}
            table.append(row)
        columns = list(dict.fromkeys(k for row in table for k in row))
        folder = job.folder(out)
        folder.mkdir(parents=True)
        lines = [",".join(columns), *(",".join(str(row.get(k, "")) for k in columns) for row in table)]
        (folder / "rounds.csv").write_text("\n".join(lines) + "\n")
        own = np.clip(rng.normal(level + 10, 15, clients), 0, 100)
        majority = np.clip(rng.normal(45, 10, clients), 0, 100)
        lines = ["round,client,group_local,group_prior_local,majority_local"]
        lines += [
            f"{rounds},{at},{a},{min(100, a + 9)},{m}" for at, (a, m) in enumerate(zip(own, majority, strict=True))
        ]
        (folder / "clients.csv").write_text("\n".join(lines) + "\n")
        (folder / "spec.toml").write_text(job.spec.toml())
        tail = [row["served_global"] for row in table[-10:]]
        served = {"final": float(tail[-1]), "last10": float(np.mean(tail))}
        summary = {
            "format": 2,
            "method": str(job.spec.method["name"]),
            "complete": True,
            "metrics": {
                "served_global": served,
                **{
                    name: {"final": float(v), "last10": float(v)}
                    for name, v in (
                        ("group_local", own.mean()),
                        ("group_prior_local", own.mean() + 9),
                        ("majority_local", majority.mean()),
                        *([("ari", 1.0), ("ami", 0.9)] if truth else []),
                    )
                },
            },
            "totals": {
                "bytes_up": 1e6 * rounds,
                "bytes_down": 2e6 * rounds,
                "client_seconds": 3.0 * rounds,
                **{f"rounds_to_{t:g}": rounds // 2 for t in job.spec.evaluate.targets},
                **{f"bytes_to_{t:g}": 3e6 * rounds // 2 for t in job.spec.evaluate.targets},
                **{f"client_seconds_to_{t:g}": 1.5 * rounds for t in job.spec.evaluate.targets},
            },
            "data": DATA,
            "partition": {"kind": "dirichlet", "hash": f"partition{job.seed:015d}"},
            "conditions": {"start": f"s{job.seed}", "cohorts": f"c{job.seed}"},
        }
        (folder / "summary.json").write_text(json.dumps(summary))
    return collect(plan, out, chosen or {})
