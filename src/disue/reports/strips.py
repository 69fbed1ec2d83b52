"""Rows of one kind under each other on a common scale: a name, a number, and marks; names wrap as text does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from disue.reports.axes import Frame, esc, num, svg, text

WIDTH, HEIGHT, AXIS, MARGIN = 500.0, 18.0, 24.0, 16.0
MIDDLE = HEIGHT / 2


@dataclass(frozen=True)
class Strip:
    """One row. `reach` is drawn as a thin line, `box` as a bar, `at` as a dot, `far` as a small tick.

    head   a line above the row that names the ones that follow      shown  the number, in words
    """

    name: str
    shown: str
    at: float
    reach: tuple[float, float] | None = None
    box: tuple[float, float] | None = None
    far: float | None = None
    color: str = "--s0"
    head: str = ""
    muted: bool = False
    note: str = ""


def strips(
    slug: str, title: str, rows: Sequence[Strip], places: Sequence[float], unit: str, zero: float | None = None
) -> str:
    """The list with its axis.

    places  numbers on the axis, the first and the last being its ends      zero  a line through all rows
    """
    if not rows:
        return ""
    frame = Frame(places[0], places[-1], 0, 1, WIDTH, HEIGHT, left=MARGIN, right=MARGIN, top=0.0, bottom=0.0)
    items = []
    for at, row in enumerate(rows):
        if row.head:
            items.append(f'<li class="head">{esc(row.head)}</li>')
        drawn = svg(
            f"{slug}-{at}", row.name, f"{row.name}: {row.shown}", _marks(frame, row, places, zero), WIDTH, HEIGHT
        )
        note = f"<small>{esc(row.note)}</small>" if row.note else ""
        muted = ' class="muted"' if row.muted else ""
        items.append(f"<li{muted}><span>{esc(row.name)}{note}</span><b>{esc(row.shown)}</b>{drawn}</li>")
    axis = "".join(text(frame.x(v), 15, f"{v:g}".replace("-", "−"), "tick", "middle") for v in places)
    scale = svg(f"{slug}-axis", title, f"{title}, {unit}", axis, WIDTH, AXIS)
    return f'<ul class="strips">{"".join(items)}<li class="scale"><span>{esc(unit)}</span>{scale}</li></ul>'


def _marks(frame: Frame, row: Strip, places: Sequence[float], zero: float | None) -> str:
    lines = "".join(f"M{num(frame.x(v))} 0V{num(HEIGHT)}" for v in places)
    out = [f'<path class="grid" d="{lines}"/>']
    if zero is not None:
        out.append(f'<path class="zero" d="M{num(frame.x(zero))} 0V{num(HEIGHT)}"/>')
    style = f'style="stroke:var({row.color})"'
    if row.reach is not None:
        low, high = (num(frame.x(v)) for v in row.reach)
        out.append(f'<path class="line" {style} d="M{low} {num(MIDDLE)}H{high}"/>')
    if row.box is not None:
        x, end = (frame.x(v) for v in row.box)
        out.append(
            f'<rect x="{num(x)}" y="{num(MIDDLE - 4.5)}" width="{num(max(end - x, 1.0))}" height="9" rx="2" '
            f'style="fill:var({row.color})" class="box"/>'
        )
    if row.far is not None:
        out.append(f'<path class="line" {style} d="M{num(frame.x(row.far))} {num(MIDDLE - 4)}V{num(MIDDLE + 4)}"/>')
    dot = f'<circle cx="{num(frame.x(row.at))}" cy="{num(MIDDLE)}" r="4" style="fill:var({row.color})"/>'
    return "".join([*out, dot])
