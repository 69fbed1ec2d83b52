"""Which rows of a study are compared with which: with FedAvg, with their host, with those that the file names."""

from __future__ import annotations

from dataclasses import dataclass

from disue.runs.assemble import AnyMethod
from disue.study.plan import Row, Study
from disue.study.results import Values
from disue.study.statistics import ENOUGH, Mean, differences, holm, mean, paired, t_test

SERVED = "served_global"


@dataclass(frozen=True)
class Pair:
    """A paired difference, `row` − `other`, in points of `metric`; `why` is "FedAvg", "host" or "named"."""

    setting: str
    row: str
    other: str
    metric: str
    why: str
    difference: Mean


@dataclass(frozen=True)
class Tested:
    """A comparison of the file in one setting. p, adjusted: None with too few seeds."""

    setting: str
    a: str
    b: str
    metric: str
    difference: Mean | None
    p: float | None
    adjusted: float | None


def plain_fedavg(plan: Study, setting: str) -> Row | None:
    """The first row that is FedAvg with nothing changed."""
    for row in plan.rows:
        if dict(row.table) == {"name": "fedavg"} and not row.set and setting in plan.of(row):
            return row
    return None


def hosts(plan: Study, setting: str) -> dict[str, str]:
    """Row → the row that is it without its expert: as named, else one with the same local part, grouping and aggregate
    whose expert does nothing, an idle expert (`enabled = false`) before none at all."""
    rows = [row for row in plan.rows if setting in plan.of(row)]
    methods = {row.label: plan.spec(setting, row, {}).build() for row in rows}
    plain = sorted((label for label in methods if _idle(methods[label])), key=lambda o: not methods[o].expert.serves)
    out = {}
    for row in rows:
        mine = methods[row.label]
        same = [label for label in plain if _host(methods[label]) == _host(mine)]
        host = row.host or (same[0] if same and not _idle(mine) else "")
        if host:
            out[row.label] = host
    return out


def _host(method: AnyMethod) -> tuple[object, ...]:
    return method.local, method.grouping, method.aggregate


def _idle(method: AnyMethod) -> bool:
    return not method.expert.serves or getattr(method.expert, "enabled", True) is False


def pairs(plan: Study, values: Values, setting: str) -> list[Pair]:
    """Differences of every row to FedAvg, to its host and to the rows it names, in what clients receive, and in what
    its own tuning maximises where that is something else."""
    out = []
    fedavg, without = plain_fedavg(plan, setting), hosts(plan, setting)
    for row in plan.rows:
        if setting not in plan.of(row):
            continue
        others = [(fedavg.label, "FedAvg")] if fedavg else []
        others += [(without[row.label], "host")] if row.label in without else []
        others += [(label, "named") for label in row.against]
        seen = {row.label}
        for label, why in others:
            if label in seen:
                continue
            seen.add(label)
            for metric in dict.fromkeys([SERVED, row.metric]):
                ours, theirs = (values.get((setting, name, metric), {}) for name in (row.label, label))
                found = paired(ours, theirs)
                if found is not None:
                    out.append(Pair(setting, row.label, label, metric, why, found))
    return out


def tested(plan: Study, values: Values) -> list[Tested]:
    """The comparisons of the file, with p corrected by Holm over all of them that the study plans enough seeds for."""
    cells = [
        (setting, one)
        for one in plan.comparisons
        for setting in plan.of(plan.row(one.a))
        if setting in plan.of(plan.row(one.b)) and (not one.settings or setting in one.settings)
    ]
    found = [
        differences(*(values.get((setting, label, one.metric), {}) for label in (one.a, one.b)))
        for setting, one in cells
    ]
    planned = [len(set(plan.row(one.a).seeds) & set(plan.row(one.b).seeds)) for _, one in cells]
    p = [t_test(one) for one in found]
    adjusted = holm(p, sum(n >= ENOUGH for n in planned))
    return [
        Tested(setting, one.a, one.b, one.metric, mean(d) if d else None, p[at], adjusted[at])
        for at, ((setting, one), d) in enumerate(zip(cells, found, strict=True))
    ]
