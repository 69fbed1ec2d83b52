"""`disue privacy-check`: attacks on the protected protocol, each beside a control, and what the protocol costs here."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from disue.cli.run import DATA_DIR, FILE, FOLDER, QUIET
from disue.cli.tables import shown, size
from disue.core.errors import UserError

if TYPE_CHECKING:
    from disue.secure.check.costs import Cost
    from disue.secure.check.row import Row

FAILED = 1


@click.command("privacy-check")
@click.argument("run_dir", type=FOLDER, required=False)
@click.option("--quick", is_flag=True, help="Smaller sizes and fewer repeats: seconds instead of a minute.")
@click.option("--only", multiple=True, metavar="NAME", help="This experiment, and not all of them; may be repeated.")
@click.option("--costs/--no-costs", default=True, help="Also time each step of a round on this machine.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=FILE, help="The table as CSV.  [default: privacy-check.csv, in RUN_DIR where given]")
@DATA_DIR
@QUIET
def privacy_check(
    run_dir: Path | None,
    quick: bool,
    only: Sequence[str],
    costs: bool,
    seed: int,
    out: Path | None,
    data_dir: Path | None,
    quiet: bool,
) -> None:
    """Attack the protected protocol, with a control for each attack; or read the transcript of the run in RUN_DIR.

    Exit code 1 where an attack gets more than it may, or where its control does not get what it must: then the
    experiment shows nothing.
    """
    needed()
    from disue.secure.check.costs import costs as timed
    from disue.secure.check.run import EXPERIMENTS, run

    def progress(what: str) -> None:
        if not quiet:
            click.echo(f"  {what}", err=True)

    out = out or (run_dir or Path()) / "privacy-check.csv"
    if run_dir is not None:
        finished(out, _of_run(run_dir, data_dir), [], quiet=quiet)
        return
    learnt = None
    if not only or "labels" in only:
        from disue.runs.first_round import first_round

        progress("clients of digits learn for a round")
        learnt = first_round(seed, data_dir)
    rows = run(only or EXPERIMENTS, quick=quick, seed=seed, learnt=learnt, progress=progress)
    spent = timed(quick, progress=progress) if costs else []
    finished(out, rows, spent, quiet=quiet)


def _of_run(run_dir: Path, data_dir: Path | None) -> list[Row]:
    from disue.runs.first_round import hidden_of
    from disue.secure.check.audit import FILE as TRANSCRIPT
    from disue.secure.check.audit import audit, read

    entries = read(run_dir / TRANSCRIPT)
    return audit(entries, hidden_of(run_dir, data_dir))


def finished(out: Path, rows: Sequence[Row], spent: Sequence[Cost], *, quiet: bool) -> None:
    """The files, the tables, and exit code 1 with the names of what failed, if anything did."""
    written(out, rows, spent)
    if not quiet:
        table(rows)
        if spent:
            click.echo()
            shown(_costs(spent), ("who", "step", "size", "processor time", "up", "down"), right=(3, 4, 5))
        click.echo(str(out))
    bad = [f"{row.number} {row.name}" for row in rows if not row.good]
    if bad:
        click.echo(f"{len(bad)} of {len(rows)} failed: {'; '.join(bad)}", err=True)
        raise click.exceptions.Exit(FAILED)


def needed(command: str = "privacy-check") -> None:
    """Refuses where the extra is not installed."""
    import importlib.util

    if importlib.util.find_spec("cryptography") is None:
        raise UserError(f'{command}: cryptography is not installed; pip install "disue[secure]"', key="secure")


def table(rows: Sequence[Row]) -> None:
    head = ("#", "", "value", "must be", "control", "must be", "what")
    shown((_line(row) for row in rows), head, right=(2, 4))


def _line(row: Row) -> tuple[str, ...]:
    mark = "–" if row.passed is None else "ok" if row.good else "FAILED"
    what = f"{row.name}; control: {row.control}" if row.control else row.name
    control = "" if row.against is None else _number(row.against)
    return row.number, mark, _number(row.value), row.must, control, row.needs, what


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.2g}" if abs(value) < 0.1 else f"{value:.2f}"


def _costs(spent: Sequence[Cost]) -> list[tuple[str, ...]]:
    def sent(count: int | None) -> str:
        return "" if count is None else size(count)

    return [(one.who, one.step, one.size, duration(one.seconds), sent(one.up), sent(one.down)) for one in spent]


def duration(seconds: float) -> str:
    """
    >>> duration(0.0000031), duration(0.0427), duration(1.5)
    ('3.1 µs', '43 ms', '1.5 s')
    """
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1 or unit == "µs":
            value = seconds * factor
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.2g} {unit}"
    raise AssertionError("unreachable")


def written(out: Path, rows: Sequence[Row], spent: Sequence[Cost]) -> None:
    """The rows as CSV, and the costs in a second file beside it."""
    import dataclasses

    from disue.runs.folder import write_text

    for path, items in ((out, rows), (out.with_name(f"{out.stem}-costs{out.suffix}"), spent)):
        if not items:
            continue
        text = io.StringIO()
        names = [field.name for field in dataclasses.fields(items[0])]
        writer: Any = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([getattr(item, name) for name in names] for item in items)
        write_text(path, text.getvalue())
