"""The sections of one run's report, each from what the run folder holds; what is not there is left out."""

from __future__ import annotations

import numpy as np

from disue.reports.axes import esc
from disue.reports.folder import RunRecord
from disue.reports.html import Tile, bullets, card, facts, tiles
from disue.reports.images import gallery
from disue.reports.lines import Series, Slice, bar, curves
from disue.reports.words import COLORS, NAMES, clock, duration, fact, percent, rounds_of, signed, size

PHASES = {
    "seconds_local": ("Local training", "--s0"),
    "seconds_server": ("Grouping and averaging", "--s2"),
    "seconds_expert": ("Expert", "--s1"),
    "seconds_evaluate": ("Evaluation", "--s7"),
}


def origin(run: RunRecord) -> str:
    """What stands under every table: which data, which version of it, how it was divided."""
    parts = []
    if run.data:
        words = f"Data: {run.data.get('name', 'unnamed')}"
        if run.data.get("variant"):
            words += f" ({run.data['variant']})"
        sizes = run.data.get("sizes")
        if isinstance(sizes, list) and len(sizes) == 2:
            words += f", {fact(sizes[0])} training and {fact(sizes[1])} test samples"
        if run.data.get("hash"):
            words += f", hash {str(run.data['hash'])[:12]}"
        parts.append(words + (f"; {run.data['note']}" if run.data.get("note") else ""))
    if run.partition:
        words = f"Partition: {run.partition.get('kind', 'unnamed')}"
        spec = run.spec.get("partition")
        alpha = spec.get("alpha") if isinstance(spec, dict) else None
        words += f", α = {alpha}" if alpha is not None and "dirichlet" in words else ""
        parts.append(words + (f", hash {str(run.partition['hash'])[:12]}" if run.partition.get("hash") else ""))
    return ". ".join(parts) + "." if parts else ""


def numbers(run: RunRecord) -> str:
    """The tiles."""
    out = []
    served = run.last10("served_global")
    if served is not None:
        out.append(
            Tile("Global accuracy", percent(served), "%", "of what clients receive, mean of the last ten rounds")
        )
    effect = run.last10("expert_effect")
    if effect is not None:
        out.append(Tile("Expert over average", signed(effect), "points", "before and after distillation"))
    prior = next((w for w in ("expert", "group", "served") if run.last10(f"{w}_prior_local") is not None), "")
    if prior:
        note = f"{NAMES[prior].lower()} and the client's own label prior"
        out.append(Tile("Local accuracy", percent(run.last10(f"{prior}_prior_local")), "%", note))
    groups = run.metrics.get("groups", {}).get("final")
    if groups is not None:
        ari = run.metrics.get("ari", {}).get("final")
        note = "at the end" if ari is None else f"adjusted Rand index {ari:.2f} against the planted ones"
        out.append(Tile("Groups", f"{groups:.0f}", "", note))
    up, down = run.total("bytes_up"), run.total("bytes_down")
    if up is not None and down is not None:
        value, unit = size(up + down).split(" ")
        out.append(Tile("Sent", value, unit, f"{size(up)} up, {size(down)} down"))
    spent = [run.total(name) for name in PHASES]
    if any(value is not None for value in spent):
        out.append(Tile("Time", *clock(sum(v for v in spent if v is not None)), rounds_of(run)))
    return tiles(out)


def over_rounds(run: RunRecord, slug: str) -> str:
    """Accuracy curves: global, and local."""
    x = run.rounds["round"]

    def series(metric: str, name: str, color: str, dash: str = "") -> list[Series]:
        return [Series(name, x, run.rounds[metric], color, dash)] if metric in run.rounds else []

    expert, served = run.rounds.get("expert_global"), run.rounds.get("served_global")
    same = expert is not None and served is not None and np.allclose(expert, served, atol=1e-6, equal_nan=True)
    lines = series("average_global", "average", "--average")
    lines += series("expert_global", "expert", "--expert")
    lines += [] if same else series("served_global", "received", "--served")
    lines += series("teachers_global", "teachers", "--own", "5 4")
    why = "One test set for all."
    if same:
        why += " Clients receive the expert; the average is what it is distilled from."
    elif expert is not None:
        why += " Received: what clients start from next."
    out = card(
        "Global accuracy",
        why,
        curves(f"{slug}global", "Global accuracy by round", _ends(lines), lines),
    )
    lines = []
    for who in ("group", "expert", "served"):
        lines += series(f"{who}_local", NAMES[who].split()[0].lower(), COLORS[who])
        lines += series(f"{who}_prior_local", f"{NAMES[who].split()[0].lower()} + prior", COLORS[who], "6 4")
    lines += series("majority_local", "majority", "--majority", "2 3")
    why = "Each client on data like its own, mean over clients. Dashed: with its own label prior. "
    why += "Dotted: always naming its majority class."
    return out + card(
        "Local accuracy",
        why,
        curves(f"{slug}local", "Local accuracy by round", _ends(lines), lines),
    )


def _ends(lines: list[Series]) -> str:
    ends = [(s.name, s.y[np.isfinite(s.y)]) for s in lines]
    return "At the end: " + ", ".join(f"{name} {y[-1]:.1f} %" for name, y in ends if y.size)


def samples(run: RunRecord, slug: str) -> str:
    """What the generator drew."""
    drawn, labels = run.arrays.get("samples"), run.arrays.get("samples_labels")
    if drawn is None:
        return ""
    known = labels if labels is not None and labels.shape == drawn.shape[:1] else None
    why = "What the expert was distilled on: inputs that the generator made up, no client's data."
    why += " Below each the class it was asked for." if known is not None else ""
    return card("Generator samples", why, gallery(f"{slug}made", drawn, known))


def time_and_traffic(run: RunRecord, slug: str) -> str:
    """Where the seconds went."""
    slices = [
        Slice(name, run.total(key) or 0.0, color, duration(run.total(key))) for key, (name, color) in PHASES.items()
    ]
    body = bar(f"{slug}time", "Seconds by phase", slices)
    levels = {
        f"Rounds to {name.removeprefix('rounds_to_')} %": "not reached"
        if value is None
        else f"{value:.0f} ({size(run.totals.get(name.replace('rounds', 'bytes', 1)))})"
        for name, value in run.totals.items()
        if name.startswith("rounds_to_")
    }
    return card(
        "Where the time went",
        "Wall-clock seconds of the whole run, by phase.",
        body + (f'<div style="margin-top:14px">{facts(levels)}</div>' if levels and body else facts(levels)),
    )


def settings(run: RunRecord) -> str:
    """How it was made: data, partition, machine, events, the spec."""
    body = facts({**_data(run), **_partition(run), **_model(run)})
    if run.env:
        body += f'<details class="more"><summary>Versions and machine</summary>{facts(run.env)}</details>'
    if run.spec_text:
        spec = f"<pre>{esc(run.spec_text.strip())}</pre>"
        body += f'<details class="more"><summary>The spec, every key</summary>{spec}</details>'
    return card("Settings", "Enough to run it again: the spec below is complete.", body)


def _data(run: RunRecord) -> dict[str, object]:
    out: dict[str, object] = {}
    if run.data:
        variant = run.data.get("variant")
        out["Data"] = f"{run.data.get('name', 'unnamed')}{f' ({variant})' if variant else ''}"
    sizes = run.data.get("sizes")
    if isinstance(sizes, list) and len(sizes) == 2:
        out["Samples"] = f"{fact(sizes[0])} training, {fact(sizes[1])} test"
    for key, name in (("note", "Note"), ("hash", "Data hash")):
        if run.data.get(key):
            out[name] = run.data[key]
    return out


def _partition(run: RunRecord) -> dict[str, object]:
    out: dict[str, object] = {"Partition": run.partition["kind"]} if "kind" in run.partition else {}
    stats = run.partition.get("stats")
    if isinstance(stats, dict):
        out.update({str(name).replace("_", " ").capitalize(): value for name, value in stats.items()})
    if run.partition.get("hash"):
        out["Partition hash"] = run.partition["hash"]
    return out


def _model(run: RunRecord) -> dict[str, object]:
    out = {("Model" if name == "name" else name.capitalize()): value for name, value in run.model.items()}
    out["Made with"] = f"disue {run.version}".strip()
    if run.seed:
        out["Seed"] = run.seed
    return out


def events(run: RunRecord) -> str:
    return card("What happened", "", bullets(run.events))


def cite(run: RunRecord) -> str:
    own = str(run.data.get("citation", ""))
    texts = tuple(dict.fromkeys([*run.cite, *([own] if own else [])]))
    return card("How to cite what was used", "", bullets(texts))
