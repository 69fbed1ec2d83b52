"""A study: settings × methods × seeds, and what each row may try on validation data.

    [study]
    seeds = [0, 1, 2, 3, 4]           # of the final runs
    [study.tune]
    seed = 100                        # of the tuning runs, not among the seeds
    grid."local.lr" = [0.02, 0.05]    # every row, every setting, on validation data
    [[study.setting]]
    name = "cifar10-dir0.1"
    data.name = "cifar10"
    k = 10                            # of the methods that take a number of groups
    [[study.method]]
    label = "FedAvg + momentum"
    name = "fedavg"                   # the rest is [method] of a spec
    against = ["FedAvg"]              # paired differences to these rows
    [[study.comparison]]              # named beforehand, tested together
    a = "disue"
    b = "FedAvg"
    [study.scale.smoke]               # the same study, smaller: `disue reproduce NAME --scale smoke`
    rounds = 3

Every other table of the file is a spec's and holds for all runs; `reading` checks the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from disue.runs.assemble import method_keys
from disue.runs.spec import Spec, override

Point = tuple[tuple[str, Any], ...]  # dotted keys with a value each
Chosen = Mapping[tuple[str, str], Point]  # (setting, row) → what tuning chose


@dataclass(frozen=True)
class Job:
    """One run. `choice` is empty for a final run, else the grid point that a tuning run tries."""

    setting: str
    method: str
    seed: int
    spec: Spec
    choice: Point = ()

    def folder(self, out: Path) -> Path:
        words: list[str | Path] = [out, slug(self.setting), slug(self.method)]
        if self.choice:
            return Path(*words, "tune", slug("-".join(f"{k}={v}" for k, v in self.choice)))
        return Path(*words, str(self.seed))

    def __str__(self) -> str:
        tried = ", ".join(f"{k} = {v}" for k, v in self.choice)
        return f"{self.setting} / {self.method} / {tried or f'seed {self.seed}'}"


@dataclass(frozen=True)
class Row:
    """A line of the tables. `table` is [method]; `set` further keys of the spec; `grid` the row's own values."""

    label: str
    table: Mapping[str, Any]
    seeds: tuple[int, ...]
    settings: tuple[str, ...]
    against: tuple[str, ...]
    host: str
    metric: str
    set: Mapping[str, Any]
    tuned_as: str
    grid: Mapping[str, tuple[Any, ...]]
    chosen: Mapping[str, Point]


@dataclass(frozen=True)
class Comparison:
    """A pair of rows whose difference a − b in a metric is tested; `settings` in which."""

    a: str
    b: str
    metric: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Tune:
    """How values are chosen: the common grid, the seed, the share of the rounds."""

    grid: Mapping[str, tuple[Any, ...]]
    seed: int
    share: float
    equal: bool


@dataclass(frozen=True)
class Study:
    """A checked study; every spec in it has been built once, so that a mistake is found before the first run."""

    common: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]]
    rows: tuple[Row, ...]
    tune: Tune
    comparisons: tuple[Comparison, ...] = ()
    over: Mapping[str, Any] = field(default_factory=dict)  # dotted keys of the scale, above settings and rows
    scale: str = ""

    @staticmethod
    def read(path: str | Path, scale: str = "") -> Study:
        """From a TOML file, at one of its scales; "" is the file as it stands."""
        from disue.study.reading import read

        return read(path, scale)

    def row(self, label: str) -> Row:
        return next(row for row in self.rows if row.label == label)

    def of(self, row: Row) -> list[str]:
        """The settings in which a row runs."""
        return [name for name in self.settings if not row.settings or name in row.settings]

    def spec(self, setting: str, row: Row, changes: Mapping[str, Any]) -> Spec:
        """Common tables, the setting over them, the row over both, then the scale, then `changes`."""
        above, over = dict(self.settings[setting]), dict(self.over)
        k = above.pop("k", None)
        k = over.pop("k", k)
        tables = merge(merge(self.common, above), {"method": dict(row.table)})
        grouping = tables["method"].get("grouping")
        replaced = isinstance(grouping, Mapping) and "kind" in grouping
        if k is not None and not replaced and "k" in method_keys(str(row.table.get("name", "fedavg"))):
            tables["method"].setdefault("k", k)
        for layer in (row.set, over, changes):
            override(tables, layer)
        return Spec.of(tables)

    # -- tuning ------------------------------------------------------------------------------------------

    def points(self, row: Row) -> list[Point]:
        """What the row tries: every combination of the common grid's values and its own; nothing under `tuned_as`."""
        grid = {**self.tune.grid, **row.grid}
        if not grid or row.tuned_as:
            return []
        return [tuple(zip(grid, values, strict=True)) for values in product(*grid.values())]

    def given(self) -> dict[tuple[str, str], Point]:
        """What the file says was chosen."""
        return {(setting, row.label): point for row in self.rows for setting, point in row.chosen.items()}

    def tuning(self) -> list[Job]:
        """Runs on validation data, with a seed of their own, of whatever the file does not say was chosen."""
        return [
            Job(setting, row.label, self.tune.seed, self.spec(setting, row, self._trial(setting, row, point)), point)
            for row in self.rows
            for setting in self.of(row)
            if setting not in row.chosen
            for point in self.points(row)
        ]

    def _trial(self, setting: str, row: Row, point: Point) -> dict[str, Any]:
        return {
            **dict(point),
            "seed": self.tune.seed,
            "rounds": self.tuning_rounds(setting, row),
            "evaluate.on": "validation",
        }

    def tuning_rounds(self, setting: str, row: Row) -> int:
        return max(1, round(self.spec(setting, row, {}).rounds * self.tune.share))

    # -- the runs that count -----------------------------------------------------------------------------

    def finals(self, chosen: Chosen) -> list[Job]:
        """With what was chosen for (setting, row); all rows of a seed before those of the next."""
        out = []
        for row in self.rows:
            for setting in self.of(row):
                point = chosen.get((setting, row.tuned_as or row.label), ())
                for seed in row.seeds:
                    out.append(Job(setting, row.label, seed, self.spec(setting, row, {**dict(point), "seed": seed})))
        return sorted(out, key=lambda job: job.seed)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables, the second over the first."""
    out = dict(below)
    for name, value in above.items():
        old = out.get(name)
        out[name] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return {k: dict(v) if isinstance(v, Mapping) else v for k, v in out.items()}


def slug(text: str) -> str:
    """A name as a folder's name."""
    return re.sub(r"[^a-z0-9.=+-]+", "-", text.lower()).strip("-")
