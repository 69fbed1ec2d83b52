"""From a study file to a checked `Study`; every mistake is one sentence, before the first run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from disue.core.errors import UserError, nearest
from disue.runs.keys import Known, bind
from disue.runs.spec import flat, read_toml
from disue.study.keys import COMPARISON, ROW, SCALE, STUDY, TUNE
from disue.study.plan import Comparison, Point, Row, Study, Tune, slug

AS_IT_STANDS = "cpu"  # the scale that a file has without a table for it


def read(path: str | Path, scale: str = "") -> Study:
    """The study in a TOML file, at one of its scales."""
    tables = read_toml(path)
    head = tables.pop("study", None)
    if head is None:
        raise UserError(f"{path}: has no [study] table; a single run is `disue run`", key="study")
    bound = _bound("study", STUDY, head)
    tune = _tune(bound["tune"])
    settings = _settings(bound["setting"])
    chosen = _chosen(bound["chosen"])
    rows = [_row(_table("study.method", table), bound["seeds"], bound["tune"], chosen) for table in bound["method"]]
    if not rows:
        raise UserError(f"{path}: has no [[study.method]]", key="study.method")
    comparisons = [_comparison(table, settings) for table in bound["comparison"]]
    study = Study(tables, settings, tuple(rows), tune, tuple(comparisons))
    _labels(study)
    for _, label in chosen:
        _known("study.chosen", "row", label, [row.label for row in rows])
    for row in rows:
        _seeds(row, tune)
        _names(study, row)
        _grid(study, row)
    _comparisons(study)
    _equal(study)
    study = _scaled(study, bound["scale"], scale)
    study.finals(study.given())
    study.tuning()
    return study


def _table(where: str, given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise UserError(f"{where} must be a table, got {given!r}", key=where, found=given)
    return given


def _bound(where: str, known: Mapping[str, Known], given: Any) -> dict[str, Any]:
    return {k: v.default for k, v in known.items()} | bind(where, known, _table(where, given))


def _values(where: str, grid: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    out = {k: tuple(v) if isinstance(v, list | tuple) else (v,) for k, v in flat(grid).items()}
    for key, values in out.items():
        if not values:
            raise UserError(f"{where}: no value is given for {key}", key=where)
    return out


def _tune(given: Mapping[str, Any]) -> Tune:
    bound = _bound("study.tune", TUNE, given)
    return Tune(_values("study.tune.grid", bound["grid"]), bound["seed"], bound["share"], bound["equal"])


def _settings(given: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    out: dict[str, Mapping[str, Any]] = {}
    for one in given:
        table = dict(_table("study.setting", one))
        name = str(table.pop("name", "all"))
        if slug(name) in map(slug, out):
            raise UserError(f'study.setting: two are called "{name}"; give each its own name', key="study.setting")
        out[name] = table
    return out or {"all": {}}


def _chosen(given: Mapping[str, Any]) -> dict[tuple[str, str], Point]:
    out: dict[tuple[str, str], Point] = {}
    for setting, rows in given.items():
        for label, values in _table(f"study.chosen.{setting}", rows).items():
            out[setting, label] = tuple(flat(_table(f"study.chosen.{setting}.{label}", values)).items())
    return out


def _row(
    given: Mapping[str, Any], seeds: tuple[int, ...], tune: Mapping[str, Any], chosen: Mapping[tuple[str, str], Point]
) -> Row:
    table = dict(given)
    own = _bound("study.method", ROW, {k: table.pop(k) for k in ROW if k in table})
    label = own["label"] or str(table.get("name", "fedavg"))
    where = f'study.method "{label}"'
    return Row(
        label,
        table,
        own["seeds"] or tuple(seeds),
        own["settings"],
        own["against"],
        own["host"],
        own["metric"] or str(tune.get("metric", TUNE["metric"].default)),
        flat(own["set"]),
        own["tuned_as"],
        _values(f"{where}: grid", own["grid"]),
        {setting: point for (setting, row), point in chosen.items() if row == label},
    )


def _comparison(given: Any, settings: Mapping[str, Any]) -> Comparison:
    bound = _bound("study.comparison", COMPARISON, given)
    for name in bound["settings"]:
        _known("study.comparison", "setting", name, settings)
    return Comparison(bound["a"], bound["b"], bound["metric"], bound["settings"])


def _known(where: str, kind: str, name: str, known: Sequence[str] | Mapping[str, Any]) -> None:
    if name not in known:
        guess = nearest(name, list(known))
        hint = f' Did you mean "{guess}"?' if guess else ""
        raise UserError(
            f'{where}: there is no {kind} "{name}"; {kind}s are {list(known)}.{hint}', key=where.split(" ")[0]
        )


def _labels(study: Study) -> None:
    """A label names the row's folder and its line in the tables."""
    labels = [row.label for row in study.rows]
    for at, label in enumerate(labels):
        if slug(label) in map(slug, labels[:at]):
            raise UserError(f'study.method: two rows are called "{label}"; give one a label', key="study.method")


def _seeds(row: Row, tune: Tune) -> None:
    if not row.seeds or len(set(row.seeds)) < len(row.seeds):
        raise UserError(
            f'study.method "{row.label}": seeds must be some, each once, got {list(row.seeds)}', key="study.seeds"
        )
    if (tune.grid or row.grid) and tune.seed in row.seeds:
        raise UserError(
            f'study.tune.seed {tune.seed} is among the seeds of "{row.label}"; give another', key="study.tune.seed"
        )


def _names(study: Study, row: Row) -> None:
    """The rows and settings that a row names exist; the row whose values it takes over is tuned where it runs."""
    where, labels = f'study.method "{row.label}"', [one.label for one in study.rows]
    for other in filter(None, (*row.against, row.host, row.tuned_as)):
        _known(where, "row", other, labels)
    for setting in row.settings:
        _known(where, "setting", setting, study.settings)
    if not row.tuned_as:
        return
    source = study.row(row.tuned_as)
    lacking = [name for name in study.of(row) if name not in study.of(source)]
    if source.tuned_as or lacking:
        place = f" in {lacking[0]}" if lacking else ""
        raise UserError(f'{where}: tuned_as names "{source.label}", which is not tuned{place}', key="study.method")
    if row.grid or row.chosen:
        name = "grid" if row.grid else "a value under [study.chosen]"
        raise UserError(f"{where}: {name} and tuned_as were both given; give one of them", key="study.method")


def _grid(study: Study, row: Row) -> None:
    """At most one key of a row's own; what was chosen is on its grid."""
    where = f'study.method "{row.label}"'
    own = [key for key in row.grid if key not in study.tune.grid]
    if study.tune.grid and len(own) > 1:
        raise UserError(
            f"{where}: grid has {len(own)} keys of its own ({', '.join(own)}); one is allowed beside the study's grid",
            key="study.method",
        )
    points = study.points(row)
    for setting, point in row.chosen.items():
        _known("study.chosen", "setting", setting, study.of(row))
        if points and dict(point) not in [dict(other) for other in points]:
            said = ", ".join(f"{k} = {v}" for k, v in point)
            raise UserError(
                f'study.chosen: {said} is not on the grid of "{row.label}" in {setting}; tune again, or mend the grid',
                key="study.chosen",
            )


def _comparisons(study: Study) -> None:
    labels = [row.label for row in study.rows]
    for one in study.comparisons:
        for name in (one.a, one.b):
            _known("study.comparison", "row", name, labels)
        both = [s for s in study.of(study.row(one.a)) if s in study.of(study.row(one.b))]
        if one.a == one.b or not [s for s in both if not one.settings or s in one.settings]:
            raise UserError(
                f'study.comparison: "{one.a}" and "{one.b}" are two rows in no setting of it', key="study.comparison"
            )


def _equal(study: Study) -> None:
    """Every row that is tuned tries as many values as every other, unless the study says otherwise."""
    tries = {row.label: len(study.points(row)) for row in study.rows if not row.tuned_as}
    if not study.tune.equal or len(set(tries.values())) < 2:
        return
    few, many = min(tries, key=lambda label: tries[label]), max(tries, key=lambda label: tries[label])
    raise UserError(
        f'study.tune: "{many}" would try {tries[many]} values and "{few}" {tries[few]}; give every row as many '
        f"(a row's grid may have other values of a common key), or set equal = false, which the tables then say",
        key="study.tune",
    )


def _scaled(study: Study, scales: Mapping[str, Any], scale: str) -> Study:
    """The study with what the scale replaces; all scales are checked, whichever is asked for."""
    bound: dict[str, dict[str, Any]] = {}
    for name, given in scales.items():
        where = f"study.scale.{name}"
        table = dict(_table(where, given))
        own = _bound(where, SCALE, {k: table.pop(k) for k in SCALE if k in table})
        for label in own["methods"]:
            _known(where, "row", label, [row.label for row in study.rows])
        for setting in own["settings"]:
            _known(where, "setting", setting, study.settings)
        bound[name] = {**own, "over": flat(table)}
    if not scale or (scale == AS_IT_STANDS and scale not in bound):
        return study
    if scale not in bound:
        raise UserError(
            f'study.scale: there is no scale "{scale}"; there are {[AS_IT_STANDS, *bound]}', key="study.scale"
        )
    return _at(study, bound[scale], scale)


def _at(study: Study, scale: Mapping[str, Any], name: str) -> Study:
    settings = {k: v for k, v in study.settings.items() if not scale["settings"] or k in scale["settings"]}
    kept = [row for row in study.rows if not scale["methods"] or row.label in scale["methods"]]
    kept = [row for row in kept if not row.settings or set(row.settings) & set(settings)]
    labels = {row.label for row in kept}
    rows = []
    for row in kept:
        if row.tuned_as and row.tuned_as not in labels:
            raise UserError(
                f'study.scale.{name}: "{row.label}" takes over what is chosen for "{row.tuned_as}", which is left out',
                key="study.scale",
            )
        rows.append(
            replace(
                row,
                seeds=scale["seeds"] or row.seeds,
                settings=tuple(k for k in row.settings if k in settings),
                against=tuple(label for label in row.against if label in labels),
                host=row.host if row.host in labels else "",
                chosen={k: v for k, v in row.chosen.items() if k in settings},
            )
        )
    comparisons = tuple(
        one
        for one in study.comparisons
        if {one.a, one.b} <= labels and (not one.settings or set(one.settings) & set(settings))
    )
    out = replace(study, settings=settings, rows=tuple(rows), comparisons=comparisons, over=scale["over"], scale=name)
    for row in out.rows:
        _seeds(row, out.tune)
    return out
