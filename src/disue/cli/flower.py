"""`disue flower`: an app for a real network, sites to try it with, a rehearsal in one process, a whole network here."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from disue.cli.display import Display, accuracies
from disue.cli.run import DATA_DIR, FILE, FOLDER, QUIET, ended
from disue.cli.tables import console, seconds
from disue.runs.spec import Spec, assignment

SPEC = click.option("--spec", required=True, type=FILE, help="What is run, as for `disue run`.")
CHANGES = click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. rounds=5.")


@click.group("flower")
def flower() -> None:
    """Run a federation over a real network, by Flower (docs/deploy.md)."""
    from disue.flower import check

    check()


@flower.command()
@click.argument("folder", type=FOLDER)
@SPEC
@CHANGES
def init(folder: Path, spec: Path, changes: tuple[str, ...]) -> None:
    """Write a Flower app into FOLDER that `flwr run` takes. No server is asked for a template."""
    from disue.flower.folder import make

    for path in make(folder, Spec.read(spec, dict(map(assignment, changes)))):
        click.echo(str(path))


@flower.command()
@click.argument("spec", type=FILE)
@click.argument("folder", type=FOLDER)
@CHANGES
@click.option("--only", type=int, multiple=True, metavar="ID", help="This client, and not all; may be repeated.")
@DATA_DIR
def split(spec: Path, folder: Path, changes: tuple[str, ...], only: tuple[int, ...], data_dir: Path | None) -> None:
    """Deal the data of SPEC's simulation out into FOLDER: an .npz for each site, a test set, and the spec for them."""
    from disue.flower.split import spec_of, write
    from disue.runs.folder import write_text
    from disue.runs.simulation import prepare

    setup = prepare(Spec.read(spec, dict(map(assignment, changes))), data_dir)
    paths = write(setup, folder, only)
    write_text(folder / "spec.toml", spec_of(setup).toml())
    click.echo(f"{len(paths)} sites, test.npz and spec.toml in {folder}")


@flower.command()
@click.argument("spec", type=FILE)
@CHANGES
@click.option("--out", type=FOLDER, help="The run's folder.  [default: runs/SPEC-rehearsal]")
@DATA_DIR
@QUIET
def rehearse(spec: Path, changes: tuple[str, ...], out: Path | None, data_dir: Path | None, quiet: bool) -> None:
    """Play SPEC as a network would, with its simulation's clients as sites in this process."""
    from disue.flower.rehearsal import rehearse as call

    checked = Spec.read(spec, dict(map(assignment, changes)))
    where = Path("runs") / f"{spec.stem}-rehearsal" if out is None else out
    with (
        tempfile.TemporaryDirectory(prefix="disue-sites-") as sites,
        Display(f"{spec} as a network in this process", quiet=quiet) as display,
    ):
        summary = call(checked, where, Path(sites), data_dir=data_dir, on_round=display)
    ended(summary, where, quiet=quiet)


@flower.command()
@click.option("--out", type=FOLDER, help="Folder.  [default: runs/flower-demo, new]")
@click.option("--rounds", type=click.IntRange(min=1), help="[default: 3; of a protected run 1]")
@click.option(
    "--protected/--no-protected",
    default=False,
    help="The server sees sketches and masked sums alone; six sites, some ten minutes.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the SuperLink.  [default: one that is free]")
@DATA_DIR
def demo(out: Path | None, rounds: int | None, protected: bool, port: int, data_dir: Path | None) -> None:
    """Train DisUE over a real network on this machine: a SuperLink with TLS and three authenticated nodes.

    Subjects of HAR are the sites where its data is there, else three parts of digits. Some three minutes, most of them
    Flower's own: it looks for messages every few seconds and starts a process for each.
    """
    from disue.cli.demo import free
    from disue.flower.demo import Demo

    where = free(Path("runs") / "flower-demo") if out is None else out
    count = rounds or (1 if protected else 3)
    shown = console()

    def say(sentence: str) -> None:
        shown.print(sentence, markup=False)

    def row(found: Mapping[str, str], left: float) -> None:
        numbers = {name: float(value) for name, value in found.items() if value}
        words = [f"round {found['round']}/{count}", *(f"{name} {value}" for name, value in accuracies(numbers))]
        shown.print("  ".join([*words, f"left {seconds(left)}"]), markup=False)

    with ended_by_terminate(), shown.status("a network on this machine; Ctrl-C stops all of it"):
        page = Demo(where, count, protected, port, data_dir, say).play(row)
    click.echo(f"report: {page}")


@contextmanager
def ended_by_terminate() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does, so that what it started ends with it."""

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
