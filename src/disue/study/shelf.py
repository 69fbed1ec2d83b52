"""The studies behind the tables of the docs: files of the folder experiments, which a wheel carries along.

NAME.toml            a study; its first comment line says what it is
results/NAME.csv     what came out: scale, setting, method, metric, n, mean, half, low, high
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import disue
from disue.core.errors import UserError, unknown

FOLDER = "experiments"


def folder() -> Path | None:
    """In the package (a wheel), else in the checkout that the package is used from."""
    package = Path(disue.__file__).parent
    return next((path for path in (package / FOLDER, package.parents[1] / FOLDER) if path.is_dir()), None)


def tables() -> dict[str, Path]:
    """Name → file of every study that is shipped; single runs are none."""
    where = folder()
    files = sorted(where.glob("*.toml")) if where is not None else []
    return {path.stem: path for path in files if "study" in tomllib.loads(path.read_text(encoding="utf-8"))}


def summary(path: Path) -> str:
    """The first line of a file's comment."""
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.lstrip("# ").rstrip(" .:") if first.startswith("#") else ""


def find(name: str) -> Path:
    """The file of a table by name; a path is taken as it is."""
    if name.endswith(".toml"):
        return Path(name)
    known = tables()
    if name in known:
        return known[name]
    if not known:
        raise UserError(f'table "{name}": no studies are shipped with this installation; give a path', key="table")
    raise unknown("table", name, known)


def stored(path: Path) -> Path:
    """Where the means of a study lie, whether there are any or not."""
    return path.parent / "results" / f"{path.stem}.csv"
