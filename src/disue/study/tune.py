"""`disue tune STUDY.toml`: what each row's grid gives on validation data, written back into a copy of the file.

Every row has the same budget (`[study.tune] equal`), runs of `share` of the rounds with a seed that no final run has.
A value that the file holds under `chosen` is not tuned again, so `disue compare` needs no tuning on the copy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomlkit

from disue.runs.folder import table, write_text
from disue.study.leases import EXPIRES
from disue.study.place import done, opened
from disue.study.plan import Chosen, Point, Study
from disue.study.queue import OnProgress, run_all


def tune(
    study: str | Path,
    out: str | Path,
    *,
    to: str | Path | None = None,
    jobs: int = 2,
    data_dir: str | Path | None = None,
    on_progress: OnProgress | None = None,
    lease: float = EXPIRES,
) -> Path:
    """Runs what is not chosen yet and writes the study with all choices in it; returns that file's path.

    out    folder of the tuning runs and tuning.csv, the same that `compare` would use
    to     the file; SPEC.tuned.toml beside the study unless given
    lease  seconds after which others take over a run whose process does not answer
    """
    source = Path(study)
    plan, where = Study.read(source), opened(Path(out))
    run_all(plan.tuning(), where, at_once=jobs, data_dir=data_dir, on_progress=on_progress, lease=lease)
    chosen = choose(plan, where)
    target = source.with_name(f"{source.stem}.tuned.toml") if to is None else Path(to)
    write_text(target, written(source.read_text(encoding="utf-8"), chosen))
    Study.read(target)
    return target


def choose(plan: Study, out: Path) -> dict[tuple[str, str], Point]:
    """What the file says, else the best grid point per (setting, row) on validation data; ties to the first.

    Every value that was tried is a row of tuning.csv.
    """
    best: dict[tuple[str, str], tuple[float, Point]] = {}
    metric = {row.label: row.metric for row in plan.rows}
    rows: list[dict[str, Any]] = []
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
    return plan.given() | {key: point for key, (_, point) in best.items()}


def written(text: str, chosen: Chosen) -> str:
    """The study's text with the choices behind it, in place of those that it had; comments and order stay."""
    document = tomlkit.parse(text)
    head: Any = document["study"]
    head.pop("chosen", None)
    tables: dict[str, Any] = {}
    for (setting, label), point in chosen.items():
        values = tomlkit.inline_table()
        values.update(point)
        tables.setdefault(setting, {})[label] = values
    return tomlkit.dumps(document).rstrip() + "\n\n" + tomlkit.dumps({"study": {"chosen": tables}})


def budget(plan: Study, setting: str, chosen: Chosen) -> str:
    """What tuning cost each row in a setting, in one sentence; "" where nothing was tuned."""
    tried: dict[str, list[str]] = {}
    for row in plan.rows:
        points = plan.points(row)
        if points and setting in plan.of(row) and (setting, row.label) in chosen:
            rounds = plan.tuning_rounds(setting, row)
            runs = f"{len(points)} run{'s' if len(points) > 1 else ''} of {rounds} round{'s' if rounds > 1 else ''}"
            tried.setdefault(runs, []).append(row.label)
    if not tried:
        return ""
    what = ", ".join(dict.fromkeys(key for row in plan.rows for key in (*plan.tune.grid, *row.grid)))
    said = "; ".join(
        f"{runs} each" if len(tried) == 1 else f"{runs}: {', '.join(rows)}" for runs, rows in tried.items()
    )
    taken = [row.label for row in plan.rows if row.tuned_as and setting in plan.of(row)]
    more = f"; taken over from another row, without runs of their own: {', '.join(taken)}" if taken else ""
    unequal = "" if len(tried) == 1 else " The budgets differ."
    return f"Tuning of {what} on validation data, seed {plan.tune.seed}: {said}{more}.{unequal}"
