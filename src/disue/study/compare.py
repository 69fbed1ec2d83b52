"""`disue compare STUDY.toml`: tune on validation data what is not chosen yet, run, and write tables and a report.

OUT/<setting>/<method>/<seed>/ is an ordinary run folder; OUT/<setting>/<method>/tune/<value>/ a tuning run.
A study that was interrupted or killed goes on where it was: complete runs are kept, started ones resumed. Any number
of these commands work on one folder, each taking runs by leases; all of them end with the same tables. Partitions,
initial weights and cohorts follow from the seed alone, so all rows of a seed share them; `results.shared` checks it.
"""

from __future__ import annotations

from pathlib import Path

from disue.api import Stopped
from disue.runs.folder import write_text
from disue.study.latex import latex
from disue.study.leases import EXPIRES
from disue.study.markdown import markdown
from disue.study.place import complete, opened
from disue.study.plan import Study
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
    lease: float = EXPIRES,
) -> Path:
    """Runs a study to its end and returns the path of its table (Markdown).

    scale        one of the study's scales; "" is the file as it stands
    jobs         runs at a time, a process each
    on_progress  called with a `Progress` a few times a second
    lease        seconds after which others take over a run whose process does not answer
    Raises `Stopped` after Ctrl-C or SIGTERM; the tables then hold what is complete.
    """
    plan, where = Study.read(study, scale), opened(Path(out))
    write_text(where / "study.toml", Path(study).read_text(encoding="utf-8"))
    finals = plan.finals(plan.given())
    try:
        run_all(
            plan.tuning(), where, at_once=jobs, data_dir=data_dir, on_progress=on_progress, later=finals, lease=lease
        )
        finals = plan.finals(choose(plan, where))
        run_all(finals, where, at_once=jobs, data_dir=data_dir, on_progress=on_progress, lease=lease)
    except Stopped:
        write(plan, where)
        raise
    return write(plan, where)


def write(plan: Study, out: Path) -> Path:
    """tuning.csv, results.csv, means.csv, table.md, table.tex and report.html from whatever is complete; table.md.

    Where another process has completed runs meanwhile, its tables may have been written over: once more, then.
    """
    jobs, before = [*plan.tuning(), *plan.finals(plan.given())], -1
    while (there := sum(complete(job, out) is not None for job in jobs)) != before:
        before = there
        results = collect(plan, out, choose(plan, out))
        found = sections(results)
        write_text(out / "table.md", markdown(found))
        write_text(out / "table.tex", latex(found))
        write_text(out / "report.html", page(results, out, found))
    return out / "table.md"
