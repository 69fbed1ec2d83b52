"""A study file: settings × methods × seeds, and the grid from which each method's free key is chosen.

    [study]
    seeds = [0, 1, 2]                 # of the final runs
    tune_seed = 100                   # of the tuning runs, not among the seeds
    tune_share = 0.5                  # of the rounds
    [study.grid]
    "local.lr" = [0.02, 0.05, 0.1]    # every method, every setting, on validation data
    [[study.setting]]
    name = "cifar10-dir0.1"
    data.name = "cifar10"
    k = 10                            # of the methods that take a number of groups
    [[study.method]]
    label = "FedAvg + momentum"
    name = "fedavg"                   # the rest is [method] of a spec
    seeds = [0, 1, 2, 3, 4]           # instead of the study's
    against = ["FedAvg"]              # paired differences to these rows

Every other table of the file is a spec's and holds for all runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from disue.core.errors import UserError
from disue.runs.assemble import method_keys
from disue.runs.keys import Known, bind
from disue.runs.spec import Spec, put, read_toml

STUDY = {
    "seeds": Known("seeds", tuple[int, ...], (0, 1, 2), "seeds of the final runs"),
    "tune_seed": Known("tune_seed", int, 100, "seed of the tuning runs"),
    "tune_share": Known("tune_share", float, 0.5, "share of the rounds that tuning runs take", {"above": 0, "high": 1}),
    "grid": Known("grid", dict, {}, "dotted key → the values tried on validation data"),
    "metric": Known(
        "metric", str, "served_global", "the metric, as mean of the last ten rounds, that tuning maximises"
    ),
    "setting": Known("setting", list, (), "tables that override the common ones"),
    "method": Known("method", list, (), "the rows of the tables"),
}
ROW = {
    "label": Known("label", str, "", "the row's name"),
    "seeds": Known("seeds", tuple[int, ...], (), "instead of the study's"),
    "settings": Known("settings", tuple[str, ...], (), "only in these settings"),
    "against": Known("against", tuple[str, ...], (), "rows to which paired differences are given"),
    "metric": Known("metric", str, "", "what its tuning maximises, instead of the study's"),
    "set": Known("set", dict, {}, "further keys of the spec for this row: tables of dotted keys"),
    "tuned_as": Known("tuned_as", str, "", "takes over the value chosen for another row, without tuning of its own"),
}


@dataclass(frozen=True)
class Job:
    """One run. `choice` is empty for a final run, else the grid point that a tuning run tries."""

    setting: str
    method: str
    seed: int
    spec: Spec
    choice: tuple[tuple[str, Any], ...] = ()

    def folder(self, out: Path) -> Path:
        words: list[str | Path] = [out, slug(self.setting), slug(self.method)]
        if self.choice:
            return Path(*words, "tune", slug("-".join(f"{k}={v}" for k, v in self.choice)))
        return Path(*words, str(self.seed))


@dataclass(frozen=True)
class Row:
    label: str
    table: Mapping[str, Any]
    seeds: tuple[int, ...]
    settings: tuple[str, ...]
    against: tuple[str, ...]
    metric: str
    set: Mapping[str, Any]
    tuned_as: str


@dataclass(frozen=True)
class Study:
    """A checked study; every spec in it has been built once, so that a mistake is found before the first run."""

    common: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]]
    rows: tuple[Row, ...]
    grid: Mapping[str, tuple[Any, ...]]
    tune_seed: int
    tune_share: float

    @staticmethod
    def read(path: str | Path) -> Study:
        tables = read_toml(path)
        head = tables.pop("study", None)
        if head is None:
            raise UserError(f"{path}: has no [study] table; a single run is `disue run`", key="study")
        bound = {k: v.default for k, v in STUDY.items()} | bind("study", STUDY, _table("study", head))
        settings: dict[str, dict[str, Any]] = {}
        for given in bound["setting"]:
            table = dict(_table("study.setting", given))
            name = str(table.pop("name", "all"))
            if slug(name) in map(slug, settings):
                raise UserError(f'study.setting: two are called "{name}"; give each its own name', key="study.setting")
            settings[name] = table
        rows = tuple(_row(_table("study.method", table), bound) for table in bound["method"])
        if not rows:
            raise UserError(f"{path}: has no [[study.method]]", key="study.method")
        grid = {k: tuple(v if isinstance(v, list | tuple) else [v]) for k, v in bound["grid"].items()}
        for key, values in grid.items():
            if not values:
                raise UserError(f"study.grid: no value is given for {key}", key="study.grid")
        for row in rows:
            if not row.seeds or len(set(row.seeds)) < len(row.seeds):
                raise UserError(
                    f'study.method "{row.label}": seeds must be some, each once, got {list(row.seeds)}',
                    key="study.seeds",
                )
            if grid and bound["tune_seed"] in row.seeds:
                raise UserError(
                    f'study.tune_seed {bound["tune_seed"]} is among the seeds of "{row.label}"; give another',
                    key="study.tune_seed",
                )
        study = Study(tables, settings or {"all": {}}, rows, grid, int(bound["tune_seed"]), float(bound["tune_share"]))
        labels = [row.label for row in rows]
        for at, label in enumerate(labels):  # a label names the row's folder and its line in the tables
            if slug(label) in map(slug, labels[:at]):
                raise UserError(f'study.method: two rows are called "{label}"; give one a label', key="study.method")
        for row in rows:
            for other in (*row.against, *([row.tuned_as] if row.tuned_as else [])):
                if other not in labels:
                    raise UserError(
                        f'study.method "{row.label}": there is no row "{other}"; rows are {labels}', key="study.method"
                    )
            for source in (r for r in rows if r.label == row.tuned_as):
                lacking = [name for name in study.of(row) if name not in study.of(source)]
                if source.tuned_as or lacking:
                    where = f" in {lacking[0]}" if lacking else ""
                    raise UserError(
                        f'study.method "{row.label}": tuned_as names "{source.label}", which is not tuned{where}',
                        key="study.method",
                    )
            for setting in row.settings:
                if setting not in study.settings:
                    raise UserError(
                        f'study.method "{row.label}": there is no setting "{setting}"; '
                        f"settings are {list(study.settings)}",
                        key="study.method",
                    )
        study.finals({})
        return study

    def of(self, row: Row) -> list[str]:
        return [name for name in self.settings if not row.settings or name in row.settings]

    def spec(self, setting: str, row: Row, changes: Mapping[str, Any]) -> Spec:
        above = dict(self.settings[setting])
        k = above.pop("k", None)
        tables = merge(merge(self.common, above), {"method": dict(row.table)})
        grouping = tables["method"].get("grouping")
        replaced = isinstance(grouping, Mapping) and "kind" in grouping
        if k is not None and not replaced and "k" in method_keys(str(row.table.get("name", "fedavg"))):
            tables["method"].setdefault("k", k)
        for dotted, value in {**row.set, **changes}.items():
            put(tables, dotted, value)
        return Spec.of(tables)

    def points(self) -> list[tuple[tuple[str, Any], ...]]:
        """The grid's points."""
        if not self.grid:
            return []
        return [tuple(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]

    def tuning(self) -> list[Job]:
        """Runs on validation data, with a seed of their own."""
        out = []
        for row in self.rows:
            if row.tuned_as:
                continue
            for setting in self.of(row):
                for point in self.points():
                    rounds = self.spec(setting, row, {}).rounds
                    changes = dict(point) | {
                        "seed": self.tune_seed,
                        "rounds": max(1, round(rounds * self.tune_share)),
                        "evaluate.on": "validation",
                    }
                    out.append(Job(setting, row.label, self.tune_seed, self.spec(setting, row, changes), point))
        return out

    def finals(self, chosen: Mapping[tuple[str, str], tuple[tuple[str, Any], ...]]) -> list[Job]:
        """The runs that count, with what was chosen for (setting, row)."""
        out = []
        for row in self.rows:
            for setting in self.of(row):
                point = chosen.get((setting, row.tuned_as or row.label), ())
                for seed in row.seeds:
                    out.append(Job(setting, row.label, seed, self.spec(setting, row, {**dict(point), "seed": seed})))
        return sorted(out, key=lambda job: job.seed)


def _table(where: str, given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise UserError(f"{where} must be a table, got {given!r}", key=where, found=given)
    return given


def _row(given: Mapping[str, Any], study: Mapping[str, Any]) -> Row:
    table = dict(given)
    own = bind("study.method", ROW, {k: table.pop(k) for k in ROW if k in table})
    label = own.get("label") or str(table.get("name", "fedavg"))
    return Row(
        label,
        table,
        own.get("seeds") or tuple(study["seeds"]),
        own.get("settings", ()),
        own.get("against", ()),
        own.get("metric") or study["metric"],
        flat(own.get("set", {})),
        own.get("tuned_as", ""),
    )


def flat(tables: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys."""
    out: dict[str, Any] = {}
    for name, value in tables.items():
        if isinstance(value, Mapping):
            out.update(flat(value, f"{before}{name}."))
        else:
            out[f"{before}{name}"] = value
    return out


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
