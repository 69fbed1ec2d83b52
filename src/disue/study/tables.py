"""A study's tables before they are Markdown or LaTeX: what stands in them, and what must be read with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from disue.reports.words import duration, size
from disue.runs.assemble import mark_of
from disue.runs.spec import Spec
from disue.study.notes import first_spec, local_test, notes
from disue.study.pairs import SERVED, pairs
from disue.study.results import TOTALS, Results, Values
from disue.study.statistics import Mean, mean

GLOBAL = ("served_global", "expert_global", "average_global", "expert_effect")
LOCAL = (
    "group_local",
    "expert_local",
    "average_local",
    "majority_local",
    "group_prior_local",
    "expert_prior_local",
    "average_prior_local",
    "personal_local",
    "served_local",
    "served_prior_local",
)
NEWCOMERS = ("newcomer_0", "newcomer_1", "newcomer_prior", "newcomer_majority", "newcomer_0_group", "newcomer_1_group")
GROUPS = ("ari", "ami", "groups")
SHORT = {
    "newcomer_0": "as received",
    "newcomer_1": "after one local epoch",
    "newcomer_0_group": "best group",
    "newcomer_1_group": "best group after one local epoch",
    "newcomer_prior": "as received + prior",
    "newcomer_majority": "majority",
    "served_global": "served",
    "expert_global": "expert",
    "average_global": "average",
    "expert_effect": "D-phase effect",
    "group_local": "group",
    "expert_local": "expert",
    "average_local": "average",
    "group_prior_local": "group + prior",
    "expert_prior_local": "expert + prior",
    "average_prior_local": "average + prior",
    "personal_local": "personal",
    "majority_local": "majority",
    "served_local": "served",
    "served_prior_local": "served + prior",
    "ari": "ARI",
    "ami": "AMI",
}
SHOWN = {*GLOBAL, *LOCAL, *(f"{name}_split" for name in LOCAL), *NEWCOMERS, *GROUPS}
QUANTITIES = {"rounds_to": "Rounds", "bytes_to": "Bytes, up and down,", "client_seconds_to": "Client-seconds"}


@dataclass(frozen=True)
class Figure:
    """A mean in a cell."""

    mean: Mean
    signed: bool = False
    digits: int = 1


Cell = str | Figure | None


@dataclass(frozen=True)
class Table:
    """`name` is unique on the page; the first column is text, the others are numbers."""

    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Section:
    """A setting, or what belongs to the whole study: its tables and the sentences that must stand with them."""

    title: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def section(results: Results, values: Values, setting: str) -> Section:
    """A setting's tables with their notes."""
    plan = results.plan
    labels = [row.label for row in plan.rows if setting in plan.of(row)]
    marks = {label: mark_of(plan.spec(setting, plan.row(label), {}).build()) for label in labels}
    spec = first_spec(plan, setting)

    def block(name: str, caption: str, metrics: Sequence[str], digits: int = 1) -> Table | None:
        return _block(values, setting, labels, metrics, marks, name, caption, digits)

    tables = [block("global", "Global test accuracy, %.", GLOBAL)]
    for suffix, words in (("", local_test(spec)), ("_split", "test held out of the client's own data")):
        caption = (
            f"Local accuracy, %, mean over clients; majority: what always naming its commonest class gives ({words})."
        )
        tables.append(block(f"local{suffix}", caption, [name + suffix for name in LOCAL]))
    tables += [
        block("newcomers", "Clients that were kept out of training, local accuracy, %.", NEWCOMERS),
        block("groups", "Recovery of the planted groups.", GROUPS, 2) if _truth(values, setting) else None,
        _differences(results, values, setting),
        *_targets(results, values, setting, labels, spec),
    ]
    return Section(setting, tuple(t for t in tables if t), notes(results, setting))


def _block(
    values: Values,
    setting: str,
    labels: Sequence[str],
    metrics: Sequence[str],
    marks: Mapping[str, str],
    name: str,
    caption: str,
    digits: int,
) -> Table | None:
    """A row a method, a column for each metric that any of them has.

    marks  row → what its method is allowed that others are not
    """
    used = [m for m in metrics if any((setting, label, m) in values for label in labels)]
    if not used or used == [m for m in metrics if m.startswith("majority")]:
        return None
    rows: list[tuple[Cell, ...]] = []
    for label in labels:
        cells = [values.get((setting, label, m)) for m in used]
        if any(cells):
            seeds = max(len(c) for c in cells if c)
            who = f"{label} ({marks[label]})" if marks.get(label) else label
            figures = (Figure(mean(list(c.values())), digits=digits) if c else None for c in cells)
            rows.append((who, str(seeds), *figures))
    head = ("", "seeds", *(SHORT.get(m.removesuffix("_split"), m) for m in used))
    return Table(name, caption, head, tuple(rows))


def _truth(values: Values, setting: str) -> bool:
    return any(where == setting and metric == "ari" for where, _, metric in values)


def _differences(results: Results, values: Values, setting: str) -> Table | None:
    rows: list[tuple[Cell, ...]] = []
    for pair in pairs(results.plan, values, setting):
        what = "" if pair.metric == SERVED else f", {SHORT.get(pair.metric, pair.metric)} (local)"
        what = what if pair.metric.endswith("_local") or not what else f", {pair.metric}"
        why = "" if pair.why == "named" or pair.other == pair.why else f" ({pair.why})"
        rows.append(
            (f"{pair.row} − {pair.other}{why}{what}", str(pair.difference.n), Figure(pair.difference, signed=True))
        )
    caption = "Paired differences in what clients receive (served), points, unless another metric is named."
    return Table("differences", caption, ("", "seeds", "difference"), tuple(rows)) if rows else None


def _targets(results: Results, values: Values, setting: str, labels: Sequence[str], spec: Spec | None) -> list[Table]:
    levels = spec.evaluate.targets if spec else ()
    out = []
    for quantity, words in QUANTITIES.items():
        rows: list[tuple[Cell, ...]] = []
        for label in labels:
            seeds = len(values.get((setting, label, SERVED), {}))
            if seeds:
                rows.append((label, *(_reached(values, setting, label, level, seeds, quantity) for level in levels)))
        if any(cell != "–" for row in rows for cell in row[1:]):
            caption = f"{words} to a served accuracy, mean over the seeds that reach it; –: none does."
            out.append(Table(quantity, caption, ("", *(f"{level:g} %" for level in levels)), tuple(rows)))
    return out


def _mean(values: Values, setting: str, label: str, level: float, quantity: str) -> tuple[str, int]:
    """In words, with the number of seeds that reach the level; an interval would be of those alone."""
    found = list(values.get((setting, label, f"{TOTALS}{quantity}_{level:g}"), {}).values())
    if not found:
        return "–", 0
    centre = mean(found).mean
    written = {"rounds_to": f"{centre:.0f}", "bytes_to": size(centre), "client_seconds_to": duration(centre)}
    return written[quantity], len(found)


def _reached(values: Values, setting: str, label: str, level: float, seeds: int, quantity: str) -> str:
    words, n = _mean(values, setting, label, level, quantity)
    return f"{words} ({n} of {seeds} seeds)" if 0 < n < seeds else words


def reached(values: Values, setting: str, label: str, level: float, seeds: int) -> tuple[str, str]:
    """Rounds to a level; and bytes, client time and how many seeds reach it where not all do."""
    (rounds, n), (sent, _), (spent, _) = (_mean(values, setting, label, level, q) for q in QUANTITIES)
    few = f", {n} of {seeds} seeds" if n < seeds else ""
    return (rounds, f"{sent}, {spent}{few}") if n else (rounds, "")
