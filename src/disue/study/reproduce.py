"""`disue reproduce TABLE --scale S`: makes a table of the docs again and says how far it is from the stored one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disue.runs.folder import read_table, table, write_text
from disue.study.compare import compare
from disue.study.leases import EXPIRES
from disue.study.queue import OnProgress
from disue.study.reading import AS_IT_STANDS
from disue.study.results import MEANS
from disue.study.shelf import find, stored
from disue.study.statistics import Mean
from disue.study.tables import SHOWN

ROUNDING = 0.05  # points: what a table with one decimal leaves open
KEY = ("setting", "method", "metric")


@dataclass(frozen=True)
class Deviation:
    """A figure made again. `beyond`: it is not within what the stored one leaves open, see `open_to`."""

    setting: str
    method: str
    metric: str
    here: float
    there: float
    beyond: bool

    @property
    def points(self) -> float:
        return self.here - self.there


@dataclass(frozen=True)
class Reproduction:
    """Where the table made again lies, and its deviations; `there` is the file that it was compared with."""

    table: Path
    there: Path
    scale: str
    deviations: tuple[Deviation, ...]


def reproduce(
    name: str,
    out: str | Path | None = None,
    *,
    scale: str = AS_IT_STANDS,
    jobs: int = 2,
    data_dir: str | Path | None = None,
    on_progress: OnProgress | None = None,
    store: str | Path | None = None,
    lease: float = EXPIRES,
) -> Reproduction:
    """Runs a shipped study (or a file) at a scale and compares its means with the stored ones of that scale.

    store  a file of means that gets those made here, in place of its own of this scale
    lease  seconds after which others take over a run whose process does not answer
    """
    path = find(name)
    where = Path("runs") / f"{path.stem}-{scale}" if out is None else Path(out)
    page = compare(path, where, scale=scale, jobs=jobs, data_dir=data_dir, on_progress=on_progress, lease=lease)
    here = [row for row in read_table(where / "means.csv") if row["metric"] in SHOWN]
    found = deviations(here, [row for row in read_table(stored(path)) if row["scale"] == scale])
    write_text(where / "deviation.csv", table([vars(one) | {"points": one.points} for one in found]))
    if store is not None:
        keep(Path(store), scale, here)
    return Reproduction(page, stored(path), scale, tuple(found))


def deviations(here: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]]) -> list[Deviation]:
    """Of every figure that both have; rows are those of means.csv."""
    known = {tuple(row[k] for k in KEY): row for row in there}
    out = []
    for row in here:
        old = known.get(tuple(row[k] for k in KEY))
        if old is not None:
            mean = Mean(
                float(old["mean"]),
                float(old.get("half", math.nan)),
                int(old["n"]),
                float(old.get("low", old["mean"])),
                float(old.get("high", old["mean"])),
            )
            (low, high), now = open_to(mean), float(row["mean"])
            setting, method, metric = (str(row[k]) for k in KEY)
            out.append(Deviation(setting, method, metric, now, mean.mean, not low <= now <= high))
    return out


def open_to(stored: Mean) -> tuple[float, float]:
    """What a stored figure leaves open: its 95 % interval, of two seeds the range of both, of one the rounding."""
    if stored.n > 2 and math.isfinite(stored.half):
        return stored.mean - stored.half - ROUNDING, stored.mean + stored.half + ROUNDING
    return stored.low - ROUNDING, stored.high + ROUNDING


def keep(path: Path, scale: str, here: Sequence[Mapping[str, Any]]) -> None:
    """Puts means of a scale into a file of stored ones, rounded to what is worth keeping."""
    kept = [row for row in read_table(path) if row["scale"] != scale]
    new = [{"scale": scale, **{k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}} for row in here]
    write_text(path, table([*kept, *new], ("scale", *MEANS)))
