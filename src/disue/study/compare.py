"""`disue compare STUDY.toml`: tune on validation data what is not chosen yet, run, and write tables and a report.

OUT/<setting>/<method>/<seed>/ is an ordinary run folder; OUT/<setting>/<method>/tune/<value>/ a tuning run.
A study that was interrupted or killed goes on where it was: complete runs are kept, started ones resumed. Partitions,
initial weights and cohorts follow from the seed alone, so all rows of a seed share them; `results.shared` checks it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from disue.api import Stopped
from disue.runs.folder import write_text
from disue.study.latex import latex
from disue.study.markdown import markdown
from disue.study.place import locked
from disue.study.plan import Chosen, Study
from disue.study.queue import OnProgress, run_all
from disue.study.report import page
from disue.study.results import collect
from disue.study.tune import choose
from disue.study.whole import sections


def compare(
    study: str | Path,
    out: str | Path,
    *,
    scale: str = "",
    jobs: int = 2,
    data_dir: str | Path | None = None,
    on_progress: OnProgress | None = None,
) -> Path:
    """Runs a study to its end and returns the path of its table (Markdown).

    scale        one of the study's scales; "" is the file as it stands
    jobs         runs at a time, a process each
    on_progress  called with a `Progress` a few times a second
    Raises `Stopped` after Ctrl-C; the tables then hold what is complete.
    """
    plan, where = Study.read(study, scale), Path(out)
    with locked(where):
        shutil.copyfile(study, where / "study.toml")
        chosen: Chosen = plan.given()
        try:
            finals = plan.finals(chosen)
            run_all(plan.tuning(), where, at_once=jobs, data_dir=data_dir, on_progress=on_progress, later=finals)
            chosen = choose(plan, where)
            run_all(plan.finals(chosen), where, at_once=jobs, data_dir=data_dir, on_progress=on_progress)
        except Stopped:
            write(plan, where, choose(plan, where))
            raise
        return write(plan, where, chosen)


def write(plan: Study, out: Path, chosen: Chosen) -> Path:
    """results.csv, means.csv, table.md, table.tex and report.html from whatever is complete; returns table.md."""
    results = collect(plan, out, chosen)
    found = sections(results)
    write_text(out / "table.md", markdown(found))
    write_text(out / "table.tex", latex(found))
    write_text(out / "report.html", page(results, out, found))
    return out / "table.md"
