"""Several runs on one page: a table and their curves over each other."""

from __future__ import annotations

from collections.abc import Sequence

from disue.reports.axes import esc
from disue.reports.folder import RunRecord
from disue.reports.html import Cell, card, table
from disue.reports.lines import Axes, Series, curves
from disue.reports.sections import PHASES, origin
from disue.reports.words import duration, percent, rounds_of, signed, size

DRAWN = 12  # runs whose curves are drawn, the best ones where there are more
COLORS = tuple(f"--s{at}" for at in range(8))
DASHES = ("", "6 4", "2 3")


def look(at: int) -> tuple[str, str]:
    """Colour and dash of the at-th run."""
    return COLORS[at % len(COLORS)], DASHES[at // len(COLORS) % len(DASHES)]


def sentence(runs: Sequence[RunRecord], names: Sequence[str]) -> str:
    """Who serves the best model on the common test set, by how much."""
    scored = sorted(
        (
            (value, name)
            for run, name in zip(runs, names, strict=True)
            if (value := run.last10("served_global")) is not None
        ),
        reverse=True,
    )
    tests = {(str(run.data.get("name")), str(run.data.get("hash"))) for run in runs}
    if not scored or len(tests) > 1:
        return f"{len(runs)} runs side by side."
    if len(scored) == 1 or scored[0][0] - scored[1][0] < 0.05:
        tied = "" if len(scored) == 1 else f", level with {scored[1][1]}"
        return f"{scored[0][1]} reaches {scored[0][0]:.1f} % on the common test set{tied}."
    return (
        f"{scored[0][1]} reaches {scored[0][0]:.1f} % on the common test set, "
        f"{scored[0][0] - scored[1][0]:.1f} points above {scored[1][1]}."
    )


def overview(runs: Sequence[RunRecord], names: Sequence[str]) -> str:
    """The table and the curves."""
    rows = []
    personal = any(run.last10("personal_local") is not None for run in runs)
    best = max((v for run in runs if (v := run.last10("served_global")) is not None), default=None)
    for at, (run, name) in enumerate(zip(runs, names, strict=True)):
        who = "expert" if run.last10("expert_prior_local") is not None else "group"
        who = who if run.last10(f"{who}_prior_local") is not None else "served"
        up, down = run.total("bytes_up"), run.total("bytes_down")
        spent = [value for phase in PHASES if (value := run.total(phase)) is not None]
        groups = run.metrics.get("groups", {}).get("final")
        served = run.last10("served_global")
        rows.append(
            [
                Cell(name, run.mark, color=look(at)[0]),
                Cell(percent(served), strong=served is not None and served == best),
                Cell(signed(run.last10("expert_effect"))),
                Cell(percent(run.last10("group_local"))),
                *([Cell(percent(run.last10("personal_local")))] if personal else []),
                Cell(percent(run.last10(f"{who}_prior_local"))),
                Cell(percent(run.last10("majority_local"))),
                Cell("–" if groups is None else f"{groups:.0f}"),
                Cell("–" if up is None or down is None else size(up + down)),
                Cell(duration(sum(spent)) if spent else "–", rounds_of(run)),
            ]
        )
    head = [
        "Run",
        "global accuracy, %",
        "expert over average",
        "local, group model",
        *(["local, personal model"] if personal else []),
        "local, with own prior",
        "majority class",
        "groups",
        "sent",
        "time",
    ]
    sources = list(dict.fromkeys(origin(run) for run in runs))
    note = " / ".join(filter(None, sources))
    if len(sources) > 1:
        note = "These runs do not share their data or their partition. " + note
    out = card(
        "Side by side",
        "Means of the last ten rounds. Global: the model that clients receive, on the common test set.",
        table(head, rows),
        origin=note,
        wide=True,
    )
    ranked = sorted(range(len(runs)), key=lambda at: (-(runs[at].last10("served_global") or -1.0), at))
    drawn = sorted(ranked[:DRAWN])
    why = f"The {DRAWN} best of {len(runs)} runs." if len(runs) > DRAWN else ""
    for metric, title in (
        ("served_global", "Global accuracy of what clients receive"),
        ("expert_effect", "Expert over average"),
    ):
        lines = [
            Series(_short(names[at]), runs[at].rounds["round"], runs[at].rounds[metric], *look(at))
            for at in drawn
            if metric in runs[at].rounds
        ]
        unit = "accuracy, %" if metric == "served_global" else "points"
        described = ", ".join(f"{name} {percent(run.last10(metric))}" for run, name in zip(runs, names, strict=True))
        out += card(title, why, curves(f"all-{metric}", title, f"Last ten rounds: {described}", lines, Axes(y=unit)))
    return f'<div class="grid">{out}</div>'


def _short(name: str) -> str:
    return name if len(name) <= 15 else name[:14] + "…"


def wrapped(title: str, subtitle: str, body: str, *, unfolded: bool) -> str:
    """One run among several: folded away under its name."""
    return (
        f'<details class="run"{" open" if unfolded else ""}><summary><h2>{esc(title)}</h2>'
        f"<p>{esc(subtitle)}</p></summary>{body}</details>"
    )
