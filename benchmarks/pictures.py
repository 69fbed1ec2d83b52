"""Which plots the page has, from the figures that are there: (part, title, file, SVG)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import plots

Drawn = tuple[str, str, str, str]


def all_of(found: dict[str, Any]) -> Iterator[Drawn]:
    if "growth" in found:
        yield from growth([row for row in found["growth"]["rows"] if "seconds" in row])
    if "against" in found:
        yield from peers([row for row in found["against"]["rows"] if "left_out" not in row])


def growth(rows: list[dict[str, Any]]) -> Iterator[Drawn]:
    """Rounds per second against clients, parameters and groups."""
    up = "rounds per CPU second"
    for axis, across in (("clients", "clients, of whom a fixed number answers"), ("parameters", "parameters")):
        found = [row for row in rows if row["axis"] == axis]
        series: dict[str, list[tuple[float, float]]] = {}
        for row in found:
            series.setdefault(f"{row['cohort']} a round", []).append((row[axis], 1 / row["seconds"]))
        yield from _lines(axis, across, up, series)
    groups = [(row["groups"], 1 / row["seconds"]) for row in rows if row["axis"] == "groups"]
    yield from _lines("groups", "groups", up, {"DisUE": groups} if groups else {})


def _lines(axis: str, across: str, up: str, series: dict[str, list[tuple[float, float]]]) -> Iterator[Drawn]:
    if any(len(points) > 1 for points in series.values()):
        title = f"Rounds per second against the number of {axis}"
        marks = sorted({x for points in series.values() for x, _ in points})
        yield "growth", title, f"bench-{axis}.svg", plots.lines(title, across, up, series, marks)


def peers(rows: list[dict[str, Any]]) -> Iterator[Drawn]:
    """A steady round of every framework, shortest first."""
    for work, name in (("w1b18", "W1: 100 clients, tiny CNN"), ("w2", "W2: 10 clients, LeNet")):
        found = sorted((row for row in rows if row["work"] == work), key=lambda row: row["steady"])
        if found:
            title = f"Seconds of a round, {name}"
            bars = [
                (f"{row['name']}, {_brief(row['setting'])}", row["steady"], row["name"] == "disue") for row in found
            ]
            yield "against", title, f"bench-peers-{work}.svg", plots.bars(title, "s", bars)


def _brief(setting: str) -> str:
    return setting.partition(" (")[0].replace("one process, one thread", "one process")
