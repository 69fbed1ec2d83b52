"""`disue run`, `resume`, `report`, `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from disue import api
from disue.cli.display import PRIOR, Display
from disue.cli.tables import percent, seconds, shown, size
from disue.runs.spec import Spec, assignment

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
DATA_DIR = click.option(
    "--data-dir",
    type=FOLDER,
    help="Where data sets lie; else the variable DISUE_DATA, else the user's cache folder.",
)
QUIET = click.option("--quiet", is_flag=True, help="Print nothing but errors.")


@click.command()
@click.argument("spec", type=FILE)
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. local.lr=0.1.")
@click.option("--seed", type=int, help="Override the spec's seed.")
@click.option("--out", type=FOLDER, help="The run's folder.  [default: runs/SPEC-METHOD-SEED]")
@DATA_DIR
@QUIET
def run(
    spec: Path, changes: tuple[str, ...], seed: int | None, out: Path | None, data_dir: Path | None, quiet: bool
) -> None:
    """Run SPEC (TOML) to its end; exit code 0 means that the run is complete."""
    overrides = dict(assignment(text) for text in changes) | ({} if seed is None else {"seed": seed})
    checked = Spec.read(spec, overrides)
    name = f"{spec.stem}-{checked.method['name']}-{checked.seed}"
    where = Path("runs") / name if out is None else out
    with Display(_title(checked), f"disue resume {where}", quiet=quiet) as display:
        summary = api.run(checked, where, data_dir=data_dir, on_round=display)
    ended(summary, where, quiet=quiet)


@click.command()
@click.argument("run_dir", type=FOLDER)
@DATA_DIR
@QUIET
def resume(run_dir: Path, data_dir: Path | None, quiet: bool) -> None:
    """Go on with the run in RUN_DIR from its last checkpoint, bit for bit."""
    with Display(f"{run_dir}: resumed", f"disue resume {run_dir}", quiet=quiet) as display:
        summary = api.resume(run_dir, data_dir=data_dir, on_round=display)
    ended(summary, run_dir, quiet=quiet)


def _title(spec: Spec) -> str:
    data = spec.data.name or spec.data.path
    partition = spec.partition.get("file") or spec.partition["kind"]
    model = spec.model.get("name") or "default model"
    return f"{spec.method['name']} on {data}, {partition}, {model}, seed {spec.seed}"


def ended(summary: dict[str, Any], where: Path, *, quiet: bool) -> None:
    """What a finished run says."""
    if quiet:
        return
    metrics, totals = summary["metrics"], summary["totals"]
    rows = [
        (label, percent(metrics[name]["last10"]), percent(metrics[name]["final"]))
        for label, name in (
            ("served", "served_global"),
            ("expert", "expert_global"),
            ("average, before the expert", "average_global"),
            ("local, group models", "group_local"),
            *((f"local, own prior ({name.split('_')[0]})", name) for name in PRIOR),
            ("local, majority label", "majority_local"),
        )
        if name in metrics
    ]
    shown(rows, ("accuracy, %", "last 10 rounds", "final"), right=(1, 2))
    took = sum(value for name, value in totals.items() if name.startswith("seconds_"))
    click.echo(f"{seconds(took)}, {size(totals['bytes_up'])} up, {size(totals['bytes_down'])} down")
    page = where / "report.html"
    click.echo(str(page if page.exists() else where))


@click.command()
@click.argument("run_dirs", type=FOLDER, nargs=-1, required=True, metavar="RUN_DIR…")
@click.option("--out", type=FILE, help="The page.  [default: RUN_DIR/report.html; of several runs comparison.html]")
def report(run_dirs: tuple[Path, ...], out: Path | None) -> None:
    """Make the report of a run, or one page that compares several."""
    import disue

    target = out or (run_dirs[0] / "report.html" if len(run_dirs) == 1 else Path("comparison.html"))
    click.echo(str(disue.report(list(run_dirs), target)))


@click.command()
@click.argument("run_dir", type=FOLDER)
@click.option("--what", required=True, metavar="WHAT", help="expert, average, group:NUMBER or client:ID.")
@click.option("--to", required=True, type=FILE, help="The .safetensors file.")
def export(run_dir: Path, what: str, to: Path) -> None:
    """Write a model of the run in RUN_DIR as safetensors, with its layout and the model's name."""
    click.echo(str(api.export(run_dir, what, to)))
