"""How well clients are served on their own data: models against the majority baseline, newcomers, every client."""

from __future__ import annotations

import numpy as np

from disue.reports.dots import COLUMNS, MOST, Cloud, sorted_clients
from disue.reports.folder import RunRecord
from disue.reports.html import Cell, card, table
from disue.reports.sections import origin
from disue.reports.words import COLORS, NAMES, percent, signed

WHO = ("group", "expert", "average", "served", "personal", "own")
COUNTED = {"own": "clients of the last cohort", "personal": "clients, drawn once"}


def local_table(run: RunRecord, suffix: str = "") -> str:
    """Models against the majority baseline, as received and with the own prior, side by side."""
    base = run.last10(f"majority_local{suffix}")
    rows, muted = [], []
    for who in WHO:
        plain, prior = run.last10(f"{who}_local{suffix}"), run.last10(f"{who}_prior_local{suffix}")
        if plain is None and prior is None:
            continue
        count = run.last10(f"{who}_clients")
        note = "" if count is None else f"{count:.0f} {COUNTED[who]}"
        gain = None if prior is None or base is None else prior - base
        rows.append(
            [
                Cell(NAMES[who], note, color=COLORS[who]),
                Cell(percent(plain), _tail(run, f"{who}_local{suffix}"), strong=True),
                Cell(percent(prior), _tail(run, f"{who}_prior_local{suffix}"), strong=True),
                Cell(signed(gain)),
            ]
        )
    if not rows:
        return ""
    if base is not None:
        muted.append(len(rows))
        words = percent(base), _tail(run, f"majority_local{suffix}")
        rows.append([Cell(NAMES["majority"], color="--majority"), Cell(*words), Cell(*words), Cell("")])
    return table(["Model", "as received, %", "with own prior, %", "prior over majority"], rows, muted)


def _tail(run: RunRecord, metric: str) -> str:
    low, worst = run.last10(f"{metric}_p10"), run.last10(f"{metric}_worst")
    if low is None or worst is None:
        return ""
    return f"p10\u00a0{low:.0f} · worst\u00a0{worst:.0f}"


def local(run: RunRecord) -> str:
    """The local table under the test that the run names."""
    evaluation = run.spec.get("evaluate")
    named = evaluation.get("local_test", evaluation.get("local")) if isinstance(evaluation, dict) else None
    first = "test data in proportion to its training labels" if named in (None, "both", "proportional") else str(named)
    why = (
        f"Each client on {first}: mean over clients and the last ten rounds, "
        "below it the tenth percentile (p10) and the worst client."
    )
    return card("Local accuracy, model by model", why, local_table(run), origin=origin(run))


def held_out(run: RunRecord) -> str:
    """The same under the split test, where there is one beside the proportional."""
    why = "The same on samples that each client held out of its own training data."
    return card("On the client's own held-out data", why, local_table(run, "_split"), origin=origin(run))


def newcomers(run: RunRecord) -> str:
    """Clients that never took part."""
    rows = []
    for name, suffix in (
        ("Expert" if "expert_effect" in run.metrics or "expert_local" in run.metrics else "Served model", ""),
        ("Group model that fits its data best", "_group"),
        ("Average", "_average"),
    ):
        found = [run.last10(f"newcomer_{kind}{suffix}") for kind in ("0", "prior", "1")]
        if found[0] is not None:
            color = {"": "--expert", "_group": "--group", "_average": "--average"}[suffix]
            base = Cell(percent(run.last10("newcomer_majority")))
            rows.append([Cell(name, color=color), *(Cell(percent(value), strong=True) for value in found), base])
    if not rows:
        return ""
    why = "Local accuracy, in percent, of clients that were kept out of training: the model as they receive it, "
    why += "with their own label prior, and after one local epoch."
    body = table(["Model", "as received", "with own prior", "after one epoch", "majority class"], rows)
    return card("Newcomers", why, body, origin=origin(run))


def every_client(run: RunRecord, slug: str) -> str:
    """A dot for each client and model, of the last evaluation."""
    last = run.last_round("clients")
    if "client" not in last:
        return ""
    clouds = [
        Cloud(words, last[name], COLORS[who], full)
        for who, name, words, full in (
            ("group", "group_local", "group model", False),
            ("expert", "expert_local", "expert", False),
            ("served", "served_local", "served model", False),
            ("personal", "personal_local", "personal model", False),
            ("expert", "expert_prior_local", "expert + prior", True),
            ("group", "group_prior_local", "group model + prior", True),
            ("served", "served_prior_local", "served model + prior", True),
        )
        if name in last and not (name == "group_prior_local" and "expert_prior_local" in last)
    ]
    title = f"Local accuracy of every client, round {int(last['round'][0])}"
    n = last["client"].size
    why = f"Round {int(last['round'][0])}. The more a client's labels are of one kind, the further right it stands. "
    if n > MOST:
        why += f"All {n:,} clients in {COLUMNS} columns: a line is the median of a column, its band reaches from the "
        why += "tenth to the ninetieth percentile. What is above the dotted line knows more than the majority class."
    else:
        why += "Only dots above the dotted line know more than the client's majority class."
    means = ", ".join(f"{c.name} {np.nanmean(c.values):.1f} %" for c in clouds if np.isfinite(c.values).any())
    body = sorted_clients(
        f"{slug}dots", title, f"Means over clients: {means}", last["client"], last.get("majority_local"), clouds
    )
    return card("Every client", why, body)
