"""Curves over rounds, each labelled at its end; and bars of a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from disue.core.checks import Float64
from disue.reports.axes import HEIGHT, Frame, apart, esc, num, svg, text, ticks

GAP = 17.0  # between two labels
POINTS = 90  # more points than this get no marks of their own


@dataclass(frozen=True, eq=False)
class Series:
    """One curve. `color` is a CSS variable; `dash` an SVG dash pattern or nothing; `low`, `high` a band round it."""

    name: str
    x: Float64
    y: Float64
    color: str
    dash: str = ""
    low: Float64 | None = None
    high: Float64 | None = None


@dataclass(frozen=True)
class Axes:
    """What the axes are, how a value is written, and whether names stand at the curves' ends or in a list below."""

    x: str = "round"
    y: str = "accuracy, %"
    digits: int = 1
    listed: bool = False


def curves(name: str, title: str, description: str, series: Sequence[Series], axes: Axes = Axes()) -> str:
    """A line chart; series without a finite point are left out, and without any series there is no chart."""
    shown = [s for s in (_finite(s) for s in series) if s.x.size]
    if not shown:
        return ""
    xs = ticks(min(float(s.x.min()) for s in shown), max(float(s.x.max()) for s in shown))
    levels = [v for s in shown for v in (s.y, s.low, s.high) if v is not None]
    ys = ticks(min(float(v.min()) for v in levels), max(float(v.max()) for v in levels))
    x1 = max(float(s.x.max()) for s in shown)
    ends = [_shown(float(s.y[-1]), axes.digits) + ("" if axes.listed else f" {s.name}") for s in shown]
    right = min(182.0, 16.0 + 8.1 * max(map(len, ends)))  # room for the labels, at the size they have on a phone
    frame = Frame(min(float(s.x.min()) for s in shown), x1, ys[0], ys[-1], right=right)
    inside = [x for x in xs if frame.x0 <= x <= frame.x1]
    body = [frame.grid(inside, ys, axes.x, axes.y)]
    body += [_band(frame, s.x, s.low, s.high, s.color) for s in shown if s.low is not None and s.high is not None]
    for s in shown:
        path = "".join(
            f"{'L' if at else 'M'}{num(frame.x(x))} {num(frame.y(y))}"
            for at, (x, y) in enumerate(zip(s.x.tolist(), s.y.tolist(), strict=True))
        )
        dash = f' stroke-dasharray="{s.dash}"' if s.dash else ""
        body.append(f'<path class="line" style="stroke:var({s.color})"{dash} d="{path}"/>')
        body.append(_marks(frame, s, axes))
    places = [frame.y(float(s.y[-1])) for s in shown]
    for s, end, at, words in zip(shown, places, apart(places, GAP, 12.0, HEIGHT - 12.0), ends, strict=True):
        x = frame.x(float(s.x[-1]))
        edge = frame.width - frame.right + 9
        body.append(
            f'<path class="lead" style="stroke:var({s.color})" d="M{num(x + 3)} {num(end)}L{num(edge - 2)} {num(at)}"/>'
        )
        body.append(text(edge + 1, at + 4, words, "label", color=s.color))
    return svg(name, title, description, "".join(body)) + (_listed(shown) if axes.listed else "")


def _shown(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _finite(s: Series) -> Series:
    keep = np.isfinite(s.x) & np.isfinite(s.y)
    low, high = (None if v is None else v[keep] for v in (s.low, s.high))
    return replace(s, x=s.x[keep], y=s.y[keep], low=low, high=high)


def _band(frame: Frame, x: Float64, low: Float64, high: Float64, color: str) -> str:
    edge = [*zip(x.tolist(), high.tolist(), strict=True), *zip(x.tolist()[::-1], low.tolist()[::-1], strict=True)]
    path = "".join(f"{'L' if at else 'M'}{num(frame.x(a))} {num(frame.y(b))}" for at, (a, b) in enumerate(edge))
    return f'<path class="band" style="fill:var({color})" d="{path}Z"/>'


def _marks(frame: Frame, s: Series, axes: Axes) -> str:
    """Small dots where something was evaluated, each with its number for the pointer."""
    pairs = list(zip(s.x.tolist(), s.y.tolist(), strict=True))
    if len(pairs) > POINTS:
        pairs = pairs[-1:]
    dots = "".join(
        f'<circle cx="{num(frame.x(x))}" cy="{num(frame.y(y))}" r="2.1">'
        f"<title>{esc(axes.x)} {x:.6g}: {y:.{axes.digits}f}</title></circle>"
        for x, y in pairs
    )
    return f'<g style="fill:var({s.color})">{dots}</g>'


def _listed(series: Sequence[Series]) -> str:
    """The curves' names, where they are too long for their ends."""
    marks = (f'<i class="{"dashes" if s.dash else "rule"}" style="color:var({s.color})"></i>' for s in series)
    items = "".join(f"<li>{mark}<span>{esc(s.name)}</span></li>" for mark, s in zip(marks, series, strict=True))
    return f'<ul class="key inline">{items}</ul>'


@dataclass(frozen=True)
class Slice:
    name: str
    value: float
    color: str
    shown: str  # the value in words


def bar(name: str, title: str, slices: Sequence[Slice]) -> str:
    """One bar cut into shares, and a list that names them."""
    slices = [s for s in slices if s.value > 0]
    total = sum(s.value for s in slices)
    if not total > 0:
        return ""
    at, parts = 0.0, []
    for s in slices:
        width = 480.0 * s.value / total
        parts.append(
            f'<rect x="{num(at)}" y="0" width="{num(max(width - 1.5, 0.5))}" height="22" rx="2" '
            f'style="fill:var({s.color})"><title>{s.name}: {s.shown}</title></rect>'
        )
        at += width
    drawn = svg(name, title, "; ".join(f"{s.name} {s.shown}" for s in slices), "".join(parts), 480.0, 22.0)
    rows = "".join(
        f'<li><i style="background:var({s.color})"></i><span>{s.name}</span><b>{s.shown}</b>'
        f"<em>{100 * s.value / total:.0f} %</em></li>"
        for s in slices
    )
    return f'{drawn}<ul class="key">{rows}</ul>'
