"""`disue doctor`: what is installed, which data is there, and whether a small run works."""

from __future__ import annotations

import platform
import shutil
import tempfile
import time
from pathlib import Path

import click

from disue import api
from disue.cli.run import DATA_DIR
from disue.cli.tables import shown, size
from disue.core.errors import UserError

SELF_TEST = {
    "rounds": 2,
    "partition": {"kind": "dirichlet", "clients": 10, "alpha": 0.5},
    "cohort": {"share": 0.5},
    "local": {"epochs": 1},
    "method": {"name": "disue", "k": 2},
}


@click.command()
@DATA_DIR
def doctor(data_dir: Path | None) -> None:
    """Say what is installed, which data sets are there, and whether a small run works."""
    shown([*_machine(), *_sets(data_dir)], ("", ""))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        api.run(SELF_TEST, Path(folder) / "run", report=False)
    click.echo(f"self-test: a run of two rounds works ({time.perf_counter() - began:.1f} s)")


def _machine() -> list[tuple[str, str]]:
    import numpy
    import torch

    from disue._version import __version__
    from disue.engine.native.library import Unavailable, find

    cuda = "none"
    if torch.cuda.is_available():
        cuda = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    try:
        compiler = find()[0]
    except Unavailable as error:
        compiler = f'none: engine.backend = "native" trains with lean ({error})'
    return [
        ("disue", __version__),
        ("python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        ("torch", str(torch.__version__)),
        ("numpy", numpy.__version__),
        ("threads", f"{torch.get_num_threads()} (a run takes one)"),
        ("cuda", cuda),
        ("C++ compiler", compiler),
        ("Flower", _flower()),
        ("free disk here", size(shutil.disk_usage(Path.cwd()).free)),
    ]


def _flower() -> str:
    """Its version, or why a real network cannot be run."""
    from disue.flower import check

    try:
        return check()
    except UserError as error:
        return f"none: {error}"


def _sets(data_dir: Path | None) -> list[tuple[str, str]]:
    from disue.data import NAMES
    from disue.data.sources.files import data_folder

    folder = data_folder(data_dir)
    rows = [("data folder", f"{folder}{'' if folder.is_dir() else ' (not there)'}")]
    for name in NAMES:
        rows.append((f"  {name}", _found(name, folder)))
    return rows


def _found(name: str, folder: Path) -> str:
    """Which variant would be read, without reading it."""
    from disue.data.sources.registry import SOURCES

    if name not in SOURCES:
        return "bundled"
    try:
        if folder.is_dir() and SOURCES[name].find(folder, True) is not None:
            return "official files"
    except UserError as error:
        return str(error)
    return "prepared .npz" if (folder / f"{name}.npz").is_file() else f"not there (disue data fetch {name})"
