"""`disue compare`, `tune`, `reproduce`: many runs from one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from disue.cli.many import Many
from disue.cli.run import DATA_DIR, FILE, FOLDER, QUIET
from disue.cli.tables import shown
from disue.study.leases import EXPIRES

if TYPE_CHECKING:
    from disue.study.reproduce import Reproduction

MOST = 12  # deviations that are shown, the largest ones
JOBS = click.option(
    "--jobs", "-j", type=click.IntRange(min=1), default=2, show_default=True, help="Runs at a time, a process each."
)
LEASE = click.option(
    "--lease",
    type=click.FloatRange(min=0, min_open=True),
    default=EXPIRES,
    show_default=True,
    metavar="SECONDS",
    help="After how long without an answer another process takes over a run.",
)
OUT = click.option("--out", type=FOLDER, help="Folder of the runs.  [default: runs/STUDY]")


@click.command()
@click.argument("study", type=FILE)
@OUT
@JOBS
@LEASE
@click.option("--latex", is_flag=True, help="Print the tables in LaTeX (booktabs) instead of Markdown.")
@DATA_DIR
@QUIET
def compare(
    study: Path, out: Path | None, jobs: int, lease: float, latex: bool, data_dir: Path | None, quiet: bool
) -> None:
    """Run a STUDY (settings × methods × seeds), tabulate it and make its report.

    What is there already is not run again: the same command goes on with a study that was interrupted or killed. Any
    number of these commands, on any number of machines, share the work on one folder.
    """
    from disue.study.compare import compare as call

    where = Path("runs") / study.stem if out is None else out
    with Many(f"{study} into {where}", quiet=quiet) as many:
        table = call(study, where, jobs=jobs, data_dir=data_dir, on_progress=many, lease=lease)
    if not quiet:
        page = table.with_suffix(".tex") if latex else table
        click.echo(page.read_text(encoding="utf-8"))
        click.echo(str(page))
        click.echo(str(table.with_name("report.html")))


@click.command()
@click.argument("study", type=FILE)
@OUT
@click.option("--to", type=FILE, help="The file with the choices.  [default: STUDY.tuned.toml beside it]")
@JOBS
@LEASE
@DATA_DIR
@QUIET
def tune(
    study: Path, out: Path | None, to: Path | None, jobs: int, lease: float, data_dir: Path | None, quiet: bool
) -> None:
    """Choose each row's values of a STUDY on validation data and write them into a copy of it.

    Every row tries the same number of values, in runs of a part of the rounds with a seed of their own.
    `disue compare` on the copy needs no tuning.
    """
    from disue.study.tune import tune as call

    where = Path("runs") / study.stem if out is None else out
    with Many(f"tuning {study} in {where}", quiet=quiet) as many:
        target = call(study, where, to=to, jobs=jobs, data_dir=data_dir, on_progress=many, lease=lease)
    if not quiet:
        click.echo(str(target))


@click.command()
@click.argument("table")
@click.option("--scale", default="cpu", show_default=True, help="smoke, cpu, paper: as far as the study has it.")
@click.option("--out", type=FOLDER, help="Folder of the runs.  [default: runs/TABLE-SCALE]")
@click.option("--store", type=FILE, help="A file of means that gets those made here, instead of its own of this scale.")
@JOBS
@LEASE
@DATA_DIR
@QUIET
def reproduce(
    table: str,
    scale: str,
    out: Path | None,
    store: Path | None,
    jobs: int,
    lease: float,
    data_dir: Path | None,
    quiet: bool,
) -> None:
    """Make a TABLE of the docs again and print how far it is from the stored one.

    TABLE is a name of `disue list tables`, or a study's file.
    """
    from disue.study.reproduce import reproduce as call

    with Many(f"{table} at scale {scale}", quiet=quiet) as many:
        found = call(table, out, scale=scale, jobs=jobs, data_dir=data_dir, on_progress=many, lease=lease, store=store)
    if not quiet:
        click.echo(found.table.read_text(encoding="utf-8"))
        _deviations(found)
        click.echo(str(found.table))
        click.echo(str(found.table.with_name("report.html")))


def _deviations(found: Reproduction) -> None:
    """The largest ones, and how many are beyond what the stored table leaves open."""
    if not found.deviations:
        click.echo(f"Nothing is stored at scale {found.scale} ({found.there}): nothing to compare with.\n")
        return
    largest = sorted(found.deviations, key=lambda one: -abs(one.points))
    beyond = sum(one.beyond for one in found.deviations)
    click.echo(
        f"{len(found.deviations)} figures made again; the largest deviation is {largest[0].points:+.2f} points, "
        f"{beyond} {'is' if beyond == 1 else 'are'} beyond the stored interval (of two seeds their range, of one "
        "the rounding)."
    )
    rows = [
        (one.setting, one.method, one.metric, *(f"{v:.1f}" for v in (one.here, one.there)), f"{one.points:+.2f}", mark)
        for one, mark in ((one, "*" * one.beyond) for one in largest[:MOST])
        if abs(one.points) >= 0.005
    ]
    if rows:
        shown(rows, ("setting", "row", "metric", "here", "stored", "deviation", "beyond"), right=(3, 4, 5))
    click.echo("")
