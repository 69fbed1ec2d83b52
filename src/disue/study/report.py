"""A study's page: read from its run folders, averaged over seeds, drawn by `disue.reports.study`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from disue.core.checks import Float64
from disue.reports import study as drawn
from disue.reports.axes import esc
from disue.reports.folder import Columns, read
from disue.reports.words import duration, size
from disue.study.markdown import show, text
from disue.study.pairs import SERVED, Pair, Tested, pairs, tested
from disue.study.plan import Study
from disue.study.results import TOTALS, Results, Values
from disue.study.statistics import Mean, mean, ranks
from disue.study.tables import Section, Table, reached
from disue.study.whole import p_cell, p_words, scores, verdict

DRAWN = 8  # rows whose curves and clients are drawn
MODELS = {
    "personal_local": "personal model",
    "expert_local": "expert",
    "group_local": "group model",
    "served_local": "served model",
}
PRIORS = {"expert_prior_local": "expert", "group_prior_local": "group model", "served_prior_local": "served model"}
MAJORITY = "majority class"
HEADS = {
    "FedAvg": "minus {}",
    "host": "minus their host, the same without the expert",
    "named": "as the study names them",
}
RECOVERY = {"ari": "ARI", "ami": "AMI"}
LIMITS = {SERVED: (0.0, 100.0), "ari": (-0.5, 1.0), "ami": (-1.0, 1.0)}


@dataclass(frozen=True, eq=False)
class Trace:
    """What is drawn of a run: its rounds, and the columns of its last evaluation's clients."""

    rounds: Columns
    clients: Columns = field(default_factory=dict)


def page(results: Results, out: Path, sections: Sequence[Section]) -> str:
    """The HTML file of whatever is complete.

    sections  the study's tables, whose notes and smaller tables the page shows as well
    """
    plan, values = results.plan, results.values()
    settings = [_setting(results, values, out, plan, one) for one in sections if one.title in plan.settings]
    found = tested(plan, values)
    last = next((one for one in sections if one.title not in plan.settings), None)
    runs = f"{len(results.runs)} runs" if len(results.runs) != 1 else "1 run"
    count = f"{len(plan.settings)} setting{'s' * (len(plan.settings) > 1)} · {len(plan.rows)} rows · {runs}"
    return drawn.render(
        drawn.Page(
            kicker=f"<b>disue study</b> · {esc(count)}",
            title=headline(plan, values, found),
            lead=[verdict(found)] if found else [],
            rows=[row.label for row in plan.rows],
            overview=_overview(plan, values),
            settings=settings,
            tested=[one for test in found if (one := _of_test(test)) is not None],
            rank=_rank(results, values, last),
        )
    )


def headline(plan: Study, values: Values, found: Sequence[Tested]) -> str:
    """The first comparison that the study names, in one sentence; without one, the best row of each setting."""
    first = next((one for one in found if one.difference is not None), None)
    if first is not None and first.difference is not None:
        difference = first.difference
        how = "above" if difference.mean > 0 else "below"
        half = "" if difference.n < 3 else f" ± {difference.half:.1f}"
        seeds = f"{difference.n} seed{'s' * (difference.n > 1)}"
        where = "" if len(plan.settings) == 1 else f" in {first.setting}"
        return f"{first.a} is {abs(difference.mean):.1f}{half} points {how} {first.b}{where}, over {seeds}."
    best = []
    for setting in plan.settings:
        cells = {row.label: values.get((setting, row.label, SERVED)) for row in plan.rows}
        placed = {label: mean(list(cell.values())).mean for label, cell in cells.items() if cell}
        if placed:
            label = max(placed, key=lambda one: placed[one])
            where = "" if len(plan.settings) == 1 else f" in {setting}"
            best.append(f"{label}{where} with {placed[label]:.1f} %")
    return (
        f"Best served: {'; '.join(best[:3])}{'; …' if len(best) > 3 else ''}." if best else "Nothing is complete yet."
    )


def _overview(plan: Study, values: Values) -> drawn.Grid:
    rows = []
    for row in plan.rows:
        cells = [values.get((setting, row.label, SERVED)) for setting in plan.settings]
        rows.append([row.label, *(show(mean(list(cell.values()))) if cell else "–" for cell in cells)])
    why = "Accuracy on the common test set of what clients receive: mean of the last ten rounds and over seeds, ± the "
    why += "half-width of the 95 % interval (of two seeds both values)."
    return drawn.Grid("Served accuracy, %", ["", *plan.settings], rows, why)


# -- one setting -----------------------------------------------------------------------------------------


def _setting(results: Results, values: Values, out: Path, plan: Study, section: Section) -> drawn.Setting:
    setting = section.title
    rows = [row.label for row in plan.rows if setting in plan.of(row)]
    chosen = most_telling(plan, values, setting)
    traces: dict[str, list[Trace]] = {label: [] for label in chosen}
    for run in results.of(setting):
        if run.job.method in traces:
            record = read(run.job.folder(out))
            traces[run.job.method].append(Trace(record.rounds, record.last_round("clients")))
    traces = {label: found for label, found in traces.items() if found}
    few = "" if len(chosen) == len(rows) else f" Curves and clients: {len(chosen)} of {len(rows)} rows."
    recovery = {name: _curves(traces, key) for key, name in RECOVERY.items()}
    small = [table for table in section.tables if table.name in ("newcomers", "groups")]
    return drawn.Setting(
        name=setting,
        found=_found(values, setting, rows) + few,
        table=_numbers(values, setting, rows),
        notes=section.notes,
        served=_curves(traces, SERVED),
        recovery={name: lines for name, lines in recovery.items() if lines},
        differences=_of_pairs(pairs(plan, values, setting)),
        clients=_clients(traces),
        tables=[*_targets(values, plan, setting, rows), *map(_grid, small)],
    )


def most_telling(plan: Study, values: Values, setting: str) -> list[str]:
    """At most `DRAWN` rows, in the order of the tables: those that the study compares, then the best."""
    there = [row.label for row in plan.rows if (setting, row.label, SERVED) in values]
    named = [label for one in plan.comparisons for label in (one.a, one.b)]
    named += [label for row in plan.rows for label in row.against]
    best = sorted(there, key=lambda label: -mean(list(values[setting, label, SERVED].values())).mean)
    wanted = [label for label in dict.fromkeys([*named, *best]) if label in there][:DRAWN]
    return [label for label in there if label in wanted]


def _found(values: Values, setting: str, rows: Sequence[str]) -> str:
    placed = {label: mean(list(cell.values())) for label in rows if (cell := values.get((setting, label, SERVED)))}
    if not placed:
        return "Nothing is complete here yet."
    best = max(placed, key=lambda label: placed[label].mean)
    return f"{best} serves the best model on the common test set: {show(placed[best])} %."


def _numbers(values: Values, setting: str, rows: Sequence[str]) -> drawn.Grid:
    def cell(label: str, metric: str) -> Mean | None:
        found = values.get((setting, label, metric))
        return mean(list(found.values())) if found else None

    def total(label: str, *names: str) -> float | None:
        found = [cell(label, TOTALS + name) for name in names]
        return None if None in found else math.fsum(one.mean for one in found if one is not None)

    lines: list[list[str | tuple[str, str]]] = []
    for label in rows:
        seeds = values.get((setting, label, SERVED))
        if not seeds:
            continue
        own = next((m for m in ("personal_local", "group_local", "served_local") if cell(label, m)), "")
        prior = next((m for m in PRIORS if cell(label, m)), "")
        sent, spent = total(label, "bytes_up", "bytes_down"), total(label, "client_seconds")
        lines.append(
            [
                label,
                str(len(seeds)),
                show(cell(label, SERVED)),
                show(cell(label, "expert_effect"), sign=True).replace("-", "−"),
                (show(cell(label, own)), MODELS.get(own, "")),
                (show(cell(label, prior)), PRIORS.get(prior, "")),
                show(cell(label, "majority_local") or cell(label, "majority_local_split")),
                "–" if sent is None else size(sent),
                "–" if spent is None else duration(spent),
            ]
        )
    head = ["", "seeds", "served, global", "D-phase effect", "local", "local, own prior"]
    head += ["local, majority class", "sent", "client time"]
    why = "Percent, mean of the last ten rounds. Local accuracies stand beside what always naming a client's commonest "
    why += "class gives; own prior: the client's label shares are added to the logits."
    return drawn.Grid("Numbers", head, lines, why)


def _curves(traces: Mapping[str, Sequence[Trace]], metric: str) -> list[drawn.Curve]:
    """A row's mean and band over the rounds that all its seeds evaluated."""
    out = []
    for label, runs in traces.items():
        known = [run.rounds for run in runs if metric in run.rounds]
        if not known or len(known) < len(runs):
            continue
        evaluated = [set(r["round"][np.isfinite(r[metric])].astype(int).tolist()) for r in known]
        rounds = sorted(set.intersection(*evaluated))
        if not rounds:
            continue
        y = np.stack([_at(r, r[metric], rounds) for r in known])
        sent = np.stack([_at(r, np.cumsum(np.nan_to_num(r["bytes_up"] + r["bytes_down"])), rounds) for r in known])
        low, high = band(y, *LIMITS[metric])
        out.append(drawn.Curve(label, np.array(rounds, float), sent.mean(0), y.mean(0), low, high))
    return out


def _at(columns: Columns, values: Float64, rounds: Sequence[int]) -> Float64:
    where = {int(r): at for at, r in enumerate(columns["round"].tolist())}
    return values[[where[r] for r in rounds]]


def band(y: Float64, least: float, most: float) -> tuple[Float64 | None, Float64 | None]:
    """Of (seeds, n) the ends of the 95 % t-interval at each place, cut off at what the metric can be; of two seeds
    both values, of one nothing."""
    if len(y) < 2:
        return None, None
    if len(y) == 2:
        return y.min(0), y.max(0)
    found = [mean(column) for column in y.T.tolist()]
    low, high = ([m.mean + sign * m.half for m in found] for sign in (-1, 1))
    return np.clip(low, least, most), np.clip(high, least, most)


def _clients(traces: Mapping[str, Sequence[Trace]]) -> list[drawn.Clients]:
    """The majority class, then for each row its first model as received and with the client's own prior."""
    out: list[drawn.Clients] = []
    for label, runs in traces.items():
        tables = [run.clients for run in runs if "client" in run.clients]
        for names, more in ((MODELS, ""), (PRIORS, " + own prior")):
            metric = next((m for m in names if tables and all(m in t for t in tables)), None)
            if metric is not None:
                out.append(drawn.Clients(label, names[metric] + more, np.concatenate([t[metric] for t in tables])))
        majority = [t["majority_local"] for t in tables if "majority_local" in t]
        if majority and (not out or out[0].row != MAJORITY):
            out.insert(0, drawn.Clients(MAJORITY, "a constant answer", np.concatenate(majority)))
    return out


# -- pieces ----------------------------------------------------------------------------------------------


def _interval(one: Mean) -> tuple[float, float]:
    return (one.low, one.high) if one.n < 3 else (one.mean - one.half, one.mean + one.half)


def _seeds(n: int) -> str:
    return f"{n} seed{'s' * (n > 1)}"


def _of_pairs(found: Sequence[Pair]) -> list[drawn.Difference]:
    """To FedAvg, then to the hosts, then the others; the seeds stand in the heads."""
    out = []
    for why, words in HEADS.items():
        block = [one for one in found if one.why == why and one.metric == SERVED]
        few, many = (pick((one.difference.n for one in block), default=0) for pick in (min, max))
        seeds = _seeds(many) if few == many else f"{few} to {many} seeds"
        for one in block:
            head = f"{words.format(one.other)} · {seeds}"
            name = one.row if why == "FedAvg" else f"{one.row} − {one.other}"
            shown = _signed(one.difference)
            out.append(drawn.Difference(head, name, one.difference.mean, *_interval(one.difference), shown=shown))
    return out


def _of_test(one: Tested) -> drawn.Difference | None:
    if one.difference is None:
        return None
    note = f"{_seeds(one.difference.n)}: not tested"
    if one.p is not None:
        note = f"{p_words(one.p)}, corrected {p_cell(one.adjusted)}"
    head = f"{one.a} − {one.b}" + ("" if one.metric == SERVED else f", {one.metric}")
    interval = _interval(one.difference)
    return drawn.Difference(head, one.setting, one.difference.mean, *interval, shown=_signed(one.difference), note=note)


def _signed(one: Mean) -> str:
    return show(one, sign=True).replace("-", "−")


def _targets(values: Values, plan: Study, setting: str, rows: Sequence[str]) -> list[drawn.Grid]:
    """Rounds to each level, with bytes and client time under them."""
    levels = plan.spec(setting, plan.row(rows[0]), {}).evaluate.targets if rows else ()
    lines: list[list[str | tuple[str, str]]] = []
    for label in rows:
        seeds = len(values.get((setting, label, SERVED), {}))
        cells = [reached(values, setting, label, level, seeds) for level in levels]
        if seeds:
            lines.append([label, *((rounds, more) for rounds, more in cells)])
    if not any(cell[0] != "–" for line in lines for cell in line[1:]):
        return []
    why = "Rounds until three evaluations in a row have a mean of at least that served accuracy, mean over the seeds "
    why += "that get there; below it bytes, up and down, and the clients' time."
    return [drawn.Grid("To an accuracy", ["", *(f"{level:g} %" for level in levels)], lines, why)]


def _grid(table: Table) -> drawn.Grid:
    name, _, rest = table.caption.partition(",")
    rows = [[text(cell).replace("-", "−") if at else text(cell) for at, cell in enumerate(row)] for row in table.rows]
    return drawn.Grid(TITLES.get(table.name, name), table.head, rows, table.caption if rest else "")


TITLES = {"newcomers": "Clients that came late", "groups": "Planted groups"}


def _rank(results: Results, values: Values, last: Section | None) -> drawn.Rank | None:
    found = ranks(scores(results, values))
    if found is None or last is None:
        return None
    note = next(note for note in last.notes if note.startswith("Friedman"))
    return drawn.Rank(found.ranks, found.critical, note)
