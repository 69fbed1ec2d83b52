"""`disue flower`: an app for a real network, sites to try it with, and a rehearsal in one process."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from disue.cli.display import Display
from disue.cli.run import DATA_DIR, FILE, FOLDER, QUIET, ended
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
@DATA_DIR
def split(spec: Path, folder: Path, changes: tuple[str, ...], data_dir: Path | None) -> None:
    """Deal the data of SPEC's simulation out into FOLDER: an .npz for each site, a test set, and the spec for them."""
    from disue.flower.split import spec_of, write
    from disue.runs.folder import write_text
    from disue.runs.simulation import prepare

    setup = prepare(Spec.read(spec, dict(map(assignment, changes))), data_dir)
    paths = write(setup, folder)
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
