"""A study's results as Markdown: one table a setting, paired differences, what was chosen, which data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from disue.runs.assemble import mark_of
from disue.study.plan import Study
from disue.study.statistics import Mean, mean, paired

GLOBAL = ("served_global", "expert_global", "average_global", "expert_effect")
LOCAL = (
    "group_local",
    "expert_local",
    "average_local",
    "group_prior_local",
    "expert_prior_local",
    "average_prior_local",
    "personal_local",
    "majority_local",
)
NEWCOMERS = ("newcomer_0", "newcomer_1", "newcomer_prior", "newcomer_0_group", "newcomer_1_group")
SHORT = {
    "newcomer_0": "as received",
    "newcomer_1": "after one local epoch",
    "newcomer_0_group": "best group",
    "newcomer_1_group": "best group after one local epoch",
    "newcomer_prior": "as received + prior",
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
}
Values = Mapping[tuple[str, str, str], Mapping[int, float]]


def show(value: Mean | None, sign: bool = False) -> str:
    """`52.5 ± 0.4`; of two seeds both values, `52.5 [52.2, 52.8]`, as their interval says little; of one the value."""
    if value is None:
        return "–"
    one = "{:+.1f}" if sign else "{:.1f}"
    text = one.format(value.mean)
    if math.isnan(value.half):
        return text
    return (
        f"{text} [{one.format(value.low)}, {one.format(value.high)}]" if value.n == 2 else f"{text} ± {value.half:.1f}"
    )


def by_cell(rows: Sequence[Mapping[str, Any]]) -> Values:
    """(setting, method, metric) → seed → mean of the last ten rounds."""
    out: dict[tuple[str, str, str], dict[int, float]] = {}
    for row in rows:
        key = (str(row["setting"]), str(row["method"]), str(row["metric"]))
        out.setdefault(key, {})[int(row["seed"])] = float(row["last10"])
    return out


def grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    out = [f"| {' | '.join(head)} |", f"|{'|'.join([' --- '] + [' ---: '] * (len(head) - 1))}|"]
    return "\n".join(out + [f"| {' | '.join(line)} |" for line in lines])


def block(values: Values, setting: str, labels: Sequence[str], metrics: Sequence[str], marks: Mapping[str, str]) -> str:
    """One table: a row a method, mean ± half-width of the 95 % interval over seeds.

    marks  row → what its method is allowed that others are not
    """
    used = [m for m in metrics if any((setting, label, m) in values for label in labels)]
    if not used:
        return ""
    lines = []
    for label in labels:
        cells = [values.get((setting, label, m)) for m in used]
        if any(cells):
            seeds = max(len(c) for c in cells if c)
            name = f"{label} ({marks[label]})" if marks.get(label) else label
            lines.append([name, str(seeds), *(show(mean(list(c.values())) if c else None) for c in cells)])
    return grid(["", "seeds", *(SHORT.get(m.removesuffix("_split"), m) for m in used)], lines)


def markdown(
    study: Study,
    rows: Sequence[Mapping[str, Any]],
    chosen: Mapping[tuple[str, str], tuple[tuple[str, Any], ...]],
    data: Mapping[str, Any],
) -> str:
    """The whole page; every figure is the mean of the last ten rounds, in percent."""
    values = by_cell(rows)
    labels = [row.label for row in study.rows]
    out = []
    for setting in study.settings:
        out.append(f"### {setting}\n")
        rows_here = [row for row in study.rows if setting in study.of(row)]
        marks = {row.label: mark_of(study.spec(setting, row, {}).build()) for row in rows_here}
        out.append("Global test accuracy.\n\n" + block(values, setting, labels, GLOBAL, marks) + "\n")
        for suffix, words in (("", "proportional test"), ("_split", "split test")):
            names = [name + suffix for name in (*LOCAL, "served_local", "served_prior_local")]
            local = block(values, setting, labels, names, marks)
            if local:
                out.append(f"Local accuracy, mean over clients ({words}).\n\n{local}\n")
        late = block(values, setting, labels, NEWCOMERS, marks)
        if late:
            out.append(f"Clients that were kept out of training, local accuracy.\n\n{late}\n")
        differences = []
        for row in study.rows:
            for other in row.against:
                pairs = [values.get((setting, label, "served_global"), {}) for label in (row.label, other)]
                found = paired(pairs[0], pairs[1])
                if found is not None:
                    differences.append([f"{row.label} − {other}", str(found.n), show(found, sign=True)])
        if differences:
            out.append("Paired differences in `served`, points.\n")
            out.append(grid(["", "seeds", "difference"], differences) + "\n")
        if setting in data:
            about = data[setting]["data"]
            out.append(
                f"Data: {about['name']} ({about['variant']}, {about['sizes'][0]:,} training and "
                f"{about['sizes'][1]:,} test samples, SHA-256 {str(about['hash'])[:12]}). {about['note']}\n"
            )
        picked = {k[1]: point for k, point in chosen.items() if k[0] == setting}
        if picked:
            choices = [f"{label}: " + ", ".join(f"{k} = {v}" for k, v in point) for label, point in picked.items()]
            out.append("Chosen on validation data: " + "; ".join(choices) + ".\n")
    return "\n".join(out)
