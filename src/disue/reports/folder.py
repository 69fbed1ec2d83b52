"""Reads what a run left behind: open formats only, and nothing of it is trusted."""

from __future__ import annotations

import csv
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from disue.core.checks import Array, Float64
from disue.core.errors import UserError
from disue.core.npz import Unreadable, read_npz

FORMAT = 2
Columns = Mapping[str, Float64]  # a table by column; NaN where a cell is empty


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One run folder. All but the first four fields may be empty; nothing in it depends on the folder's place.

    metrics  name → {"final": x, "last10": y}      totals  name → number, or None where never reached
    data, partition, model  facts by name          rounds, clients, groups  tables by column
    """

    name: str  # of the folder
    method: str
    metrics: Mapping[str, Mapping[str, float]]
    rounds: Columns
    version: str = ""
    complete: bool = True
    seed: str = ""
    mark: str = ""  # what the method uses that others do not (public inputs, the planted truth)
    spec: Mapping[str, object] = field(default_factory=dict)
    spec_text: str = ""
    totals: Mapping[str, float | None] = field(default_factory=dict)
    data: Mapping[str, object] = field(default_factory=dict)
    partition: Mapping[str, object] = field(default_factory=dict)
    model: Mapping[str, object] = field(default_factory=dict)
    events: tuple[str, ...] = ()
    cite: tuple[str, ...] = ()
    clients: Columns = field(default_factory=dict)
    groups: Columns = field(default_factory=dict)
    env: Mapping[str, object] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    privacy: Mapping[str, object] = field(default_factory=dict)

    def last10(self, metric: str) -> float | None:
        """The mean over the last ten rounds, in percent where it is an accuracy."""
        return self.metrics.get(metric, {}).get("last10")

    def total(self, name: str) -> float | None:
        """A total of the summary; for bytes and seconds else the sum of the column in rounds.csv."""
        found = self.totals.get(name)
        if found is None and name in self.rounds and not np.isnan(self.rounds[name]).all():
            return float(np.nansum(self.rounds[name]))
        return found

    def last_round(self, table: str) -> dict[str, Float64]:
        """The rows of `clients` or `groups` of the last round that stands there, one for each client or group."""
        columns = self.clients if table == "clients" else self.groups
        if "round" not in columns or not columns["round"].size:
            return {}
        rows = np.flatnonzero(columns["round"] == np.nanmax(columns["round"]))
        key = columns.get(table.removesuffix("s"))
        if key is not None:  # a row written twice counts once, as it was written last
            rows = rows[::-1][np.sort(np.unique(key[rows][::-1], return_index=True)[1])][::-1]
        return {name: values[rows] for name, values in columns.items()}


def read(folder: Path) -> RunRecord:
    """The record of a run folder; a folder that is none, or is damaged, is refused in one sentence."""
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such run folder", key="run", found=str(folder))
    if not (folder / "summary.json").is_file():
        raise UserError(
            f"{folder} holds no summary.json: it is no run folder, or its run is not finished "
            "(disue resume goes on with it)",
            key="summary.json",
            found=str(folder),
        )
    summary = _json(folder / "summary.json")
    kind = summary.get("format")
    if not isinstance(kind, int) or not 1 <= kind <= FORMAT:
        raise UserError(
            f"{folder / 'summary.json'}: format must be {FORMAT}, found {kind!r}: "
            "it was written by another program or by a newer version",
            key="format",
            found=kind,
        )
    spec_text = _text(folder / "spec.toml", needed=True)
    try:
        spec = tomllib.loads(spec_text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{folder / 'spec.toml'} is damaged: {error}", key="spec.toml") from None
    env = _json(folder / "env.json") if (folder / "env.json").is_file() else {}
    return RunRecord(
        name=folder.resolve().name,
        method=str(summary.get("method", "unnamed")),
        metrics=_metrics(summary.get("metrics"), folder),
        rounds=_table(folder / "rounds.csv", needed=True),
        version=str(summary.get("disue", "")),
        complete=summary.get("complete") is not False,
        seed=str(summary.get("seed", spec.get("seed", ""))),
        mark=str(summary.get("mark") or ""),
        spec=spec,
        spec_text=spec_text,
        totals={name: _number(value) for name, value in _mapping(summary.get("totals")).items()},
        data=_mapping(summary.get("data")),
        partition=_mapping(summary.get("partition")),
        model=_mapping(summary.get("model")),
        events=_sentences(summary.get("events")) or _events(folder / "events.csv"),
        cite=_sentences(summary.get("cite")),
        clients=_table(folder / "clients.csv") or _last_columns(folder / "clients"),
        groups=_table(folder / "groups.csv"),
        env=env,
        arrays=_arrays(folder / "arrays.npz"),
        privacy=_mapping(summary.get("privacy")),
    )


def _text(path: Path, *, needed: bool = False) -> str:
    if not path.is_file():
        if needed:
            raise UserError(f"{path.parent} holds no {path.name}: the run folder is not complete", key=path.name)
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}", key=path.name) from None


def _json(path: Path) -> dict[str, object]:
    try:
        found = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged: {error}", key=path.name) from None
    if not isinstance(found, dict):
        raise UserError(f"{path} is damaged: expected an object, found {type(found).__name__}", key=path.name)
    return found


def _mapping(value: object) -> dict[str, object]:
    return {str(name): item for name, item in value.items()} if isinstance(value, dict) else {}


def _sentences(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _events(path: Path) -> tuple[str, ...]:
    rows = csv.DictReader(_text(path).splitlines())
    return tuple(f"Round {row.get('round', '?')}: {row['event']}" for row in rows if row.get("event"))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _metrics(value: object, folder: Path) -> dict[str, dict[str, float]]:
    out: dict[str, dict[str, float]] = {}
    for name, pair in _mapping(value).items():
        if not isinstance(pair, dict):
            raise UserError(
                f"{folder / 'summary.json'}: metrics.{name} should hold final and last10, found {pair!r}",
                key=f"metrics.{name}",
                found=pair,
            )
        numbers = {key: _number(item) for key, item in pair.items()}
        out[name] = {key: item for key, item in numbers.items() if item is not None}
    return out


def _table(path: Path, *, needed: bool = False) -> dict[str, Float64]:
    """A CSV of numbers by column; empty cells and words are NaN."""
    text = _text(path, needed=needed)
    rows = list(csv.reader(text.splitlines()))
    if not rows:
        if needed:
            raise UserError(f"{path} is empty: expected a line of column names", key=path.name)
        return {}
    head, body = rows[0], [row for row in rows[1:] if row]
    for number, row in enumerate(body, start=2):
        if len(row) != len(head):
            raise UserError(
                f"{path} is damaged: line {number} has {len(row)} cells, the first line {len(head)}",
                key=path.name,
                found=number,
            )
    if needed and "round" not in head:
        raise UserError(f'{path}: expected a column "round", found {", ".join(head)}', key=path.name)
    return {name: np.array([_cell(row[at]) for row in body], np.float64) for at, name in enumerate(head)}


def _last_columns(folder: Path) -> dict[str, Float64]:
    """The last evaluation of many clients, which stands in files of columns; a report looks at no other."""
    path = max(folder.glob("round-*.npz"), default=None)
    found = {} if path is None else _arrays(path)
    if path is None or "client" not in found:
        return {}
    n = len(found["client"])
    if not path.stem[6:].isdigit() or any(column.shape != (n,) for column in found.values()):
        raise UserError(f"{path} is damaged: expected columns of {n} clients", key=path.name)
    columns = {name: column.astype(np.float64) for name, column in found.items()}
    return {"round": np.full(n, float(path.stem[6:])), **columns}


def _cell(text: str) -> float:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _arrays(path: Path) -> dict[str, Array]:
    if not path.is_file():
        return {}
    try:
        out = read_npz(path)
    except (OSError, Unreadable) as error:
        raise UserError(f"{path} is damaged: {error}", key=path.name) from None
    return {name: array for name, array in out.items() if array.dtype.kind in "fiub"}
