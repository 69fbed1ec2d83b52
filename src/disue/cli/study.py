"""`disue compare`, `tune`: many runs from one file."""

from __future__ import annotations

from pathlib import Path

import click

from disue.cli.many import Many
from disue.cli.run import DATA_DIR, FILE, FOLDER, QUIET

JOBS = click.option(
    "--jobs", "-j", type=click.IntRange(min=1), default=2, show_default=True, help="Runs at a time, a process each."
)
OUT = click.option("--out", type=FOLDER, help="Folder of the runs.  [default: runs/STUDY]")


@click.command()
@click.argument("study", type=FILE)
@OUT
@JOBS
@click.option("--latex", is_flag=True, help="Print the tables in LaTeX (booktabs) instead of Markdown.")
@DATA_DIR
@QUIET
def compare(study: Path, out: Path | None, jobs: int, latex: bool, data_dir: Path | None, quiet: bool) -> None:
    """Run a STUDY (settings × methods × seeds), tabulate it and make its report.

    What is there already is not run again: the same command goes on with a study that was interrupted or killed.
    """
    from disue.study.compare import compare as call

    where = Path("runs") / study.stem if out is None else out
    with Many(f"{study} into {where}", quiet=quiet) as many:
        table = call(study, where, jobs=jobs, data_dir=data_dir, on_progress=many)
    if not quiet:
        shown = table.with_suffix(".tex") if latex else table
        click.echo(shown.read_text(encoding="utf-8"))
        click.echo(str(shown))
        click.echo(str(table.with_name("report.html")))


@click.command()
@click.argument("study", type=FILE)
@OUT
@click.option("--to", type=FILE, help="The file with the choices.  [default: STUDY.tuned.toml beside it]")
@JOBS
@DATA_DIR
@QUIET
def tune(study: Path, out: Path | None, to: Path | None, jobs: int, data_dir: Path | None, quiet: bool) -> None:
    """Choose each row's values of a STUDY on validation data and write them into a copy of it.

    Every row tries the same number of values, in runs of a part of the rounds with a seed of their own.
    `disue compare` on the copy needs no tuning.
    """
    from disue.study.tune import tune as call

    where = Path("runs") / study.stem if out is None else out
    with Many(f"tuning {study} in {where}", quiet=quiet) as many:
        target = call(study, where, to=to, jobs=jobs, data_dir=data_dir, on_progress=many)
    if not quiet:
        click.echo(str(target))
