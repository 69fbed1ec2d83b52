"""`disue data`: fetch, info, partition."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from disue.cli.run import DATA_DIR, FILE
from disue.cli.tables import console, shown, size
from disue.runs import assemble
from disue.runs.spec import assignment

if TYPE_CHECKING:
    from disue.data import Dataset
    from disue.data.fetch import Progress


@click.group()
def data() -> None:
    """Data sets: get the official files, look at a set, deal it out to clients."""


@data.command()
@click.argument("name")
@DATA_DIR
def fetch(name: str, data_dir: Path | None) -> None:
    """Download the official files of the set NAME; a download that broke off goes on."""
    from disue.data.fetch import fetch as call
    from disue.data.sources.files import data_folder

    if sys.stderr.isatty():
        places = _with_bars(name, data_dir)
    else:
        places = call(name, data_dir, _lines())
    for place in places:
        click.echo(str(place))
    if not places:
        click.echo(f"{name} needs no files; others go to {data_folder(data_dir)}")


def _lines() -> Progress:
    """Progress as a line per tenth of a file."""
    said: dict[str, int] = {}

    def progress(name: str, done: int, total: int | None, /) -> None:
        tenth = math.floor(10 * done / total) if total else 0
        if tenth > said.get(name, -1):
            said[name] = tenth
            click.echo(f"{name}  {size(done)}" + (f" of {size(total)}" if total else ""), err=True)

    return progress


def _with_bars(name: str, data_dir: Path | None) -> tuple[Path, ...]:
    from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    from disue.data.fetch import fetch as call

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console(err=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(file: str, done: int, total: int | None, /) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file, total=total)
            bars.update(tasks[file], completed=done, total=total)

        return call(name, data_dir, progress)


def _load(name: str, data_dir: Path | None) -> Dataset:
    """A set by name, or own arrays where NAME is the path of an .npz."""
    from disue.data import load

    return load(path=name, data_dir=data_dir) if name.endswith(".npz") else load(name, data_dir=data_dir)


@data.command()
@click.argument("name")
@DATA_DIR
def info(name: str, data_dir: Path | None) -> None:
    """Say what the set NAME (or your own .npz) is: variant, sizes, classes, files with their SHA-256."""
    found = _load(name, data_dir)
    train, test = found.sizes
    rows: list[tuple[str, str]] = [
        ("name", found.name),
        ("variant", found.variant),
        ("training samples", f"{train:,}"),
        ("test samples", f"{test:,}"),
        ("classes", f"{found.classes}: {', '.join(found.labels[:10])}{' …' if found.classes > 10 else ''}"),
        ("inputs", f"{found.kind} {found.shape}"),
    ]
    if found.client_train is not None:
        rows.append(("natural clients", f"{len(set(found.client_train.tolist())):,}"))
    rows += [(file, f"sha256 {digest}") for file, digest in found.files]
    rows += [(word, text) for word, text in (("note", found.note), ("cite", found.citation)) if text]
    shown(rows, ("", ""))


@data.command()
@click.argument("name")
@click.option("--kind", default="dirichlet", show_default=True, help="A name of `disue list partitions`.")
@click.option("--clients", type=int, help="How many clients.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Another key of the kind, e.g. alpha=0.1.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--to", required=True, type=FILE, help="The .npz file.")
@DATA_DIR
def partition(
    name: str, kind: str, clients: int | None, changes: tuple[str, ...], seed: int, to: Path, data_dir: Path | None
) -> None:
    """Deal the set NAME out to clients, say how hard it is, and save it for `[partition] file`."""
    from disue.core.streams import Streams
    from disue.data import make

    given = {"kind": kind, **({} if clients is None else {"clients": clients}), **dict(map(assignment, changes))}
    checked = assemble.check_partition(given)
    arguments = {k: v for k, v in checked.items() if k not in ("kind", "seed", "file")}
    dataset = _load(name, data_dir)
    made = make(dataset, kind, streams=Streams(seed), **arguments)
    made.save(to)
    rows = [(word.replace("_", " "), _figure(value)) for word, value in asdict(made.stats).items()]
    shown([("kind", made.kind), *rows, ("hash", made.hash)], ("", ""))
    click.echo(str(to))


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"
