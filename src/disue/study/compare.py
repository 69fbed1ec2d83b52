"""`disue compare STUDY.toml --out DIR`: tune on validation data, run, and write results.csv and table.md.

DIR/<setting>/<method>/<seed>/ is an ordinary run folder; DIR/<setting>/<method>/tune/<value>/ a tuning run.
A study that was interrupted goes on where it was: complete runs are kept, started ones resumed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disue.runs.folder import read_table, table, write_text
from disue.study.plan import Study
from disue.study.queue import Progress, done, run_all
from disue.study.tables import markdown

Point = tuple[tuple[str, Any], ...]


def compare(
    study: str | Path,
    out: str | Path,
    *,
    workers: int = 2,
    data_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Runs a study to its end and returns the path of its table (Markdown).

    progress  called with (runs done, runs in this phase, the job, seconds left)
    """
    plan, where = Study.read(study), Path(out)
    place = None if data_dir is None else str(data_dir)
    run_all(plan.tuning(), where, workers=workers, data_dir=place, progress=progress)
    chosen = choose(plan, where)
    run_all(plan.finals(chosen), where, workers=workers, data_dir=place, progress=progress)
    return collect(plan, where, chosen)


def choose(plan: Study, out: Path) -> dict[tuple[str, str], Point]:
    """The best grid point per (setting, row) on validation data; ties to the first. Written to tuning.csv."""
    best: dict[tuple[str, str], tuple[float, Point]] = {}
    metric = {row.label: row.metric for row in plan.rows}
    rows = []
    for job in plan.tuning():
        found = done(job, out)
        if found is None:
            continue
        value = float(found["metrics"].get(metric[job.method], {"last10": float("-inf")})["last10"])
        key = (job.setting, job.method)
        rows.append({"setting": job.setting, "method": job.method, **dict(job.choice), metric[job.method]: value})
        if key not in best or value > best[key][0]:
            best[key] = (value, job.choice)
    if rows:
        write_text(out / "tuning.csv", table(rows))
    return {key: point for key, (_, point) in best.items()}


def collect(plan: Study, out: Path, chosen: Mapping[tuple[str, str], Point]) -> Path:
    """results.csv (setting, method, seed, metric, final, last10) and table.md from whatever is complete."""
    rows: list[dict[str, Any]] = []
    for job in plan.finals(chosen):
        found = done(job, out)
        if found is None:
            continue
        about = {"setting": job.setting, "method": job.method, "seed": job.seed}
        for name, value in found["metrics"].items():
            rows.append({**about, "metric": name, "final": value["final"], "last10": value["last10"]})
        for name, value in found["totals"].items():
            if value is not None:
                rows.append({**about, "metric": f"totals.{name}", "final": value, "last10": value})
    write_text(out / "results.csv", table(rows))
    data: dict[str, dict[str, Any]] = {}
    for job in plan.finals(chosen):
        found = done(job, out)
        if found is not None:
            data.setdefault(job.setting, {"data": found["data"], "partition": {}})
            data[job.setting]["partition"][job.seed] = found["partition"]["hash"]
    write_text(out / "data.json", json.dumps(data, indent=1) + "\n")
    write_text(out / "table.md", markdown(plan, read_table(out / "results.csv"), chosen, data))
    return out / "table.md"
