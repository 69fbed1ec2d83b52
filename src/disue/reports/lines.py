"""Curves over rounds, each labelled at its end; and bars of a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from disue.core.checks import Float64
from disue.reports.axes import HEIGHT, Frame, apart, num, svg, text, ticks

GAP = 17.0  # between two labels
POINTS = 90  # more points than this get no marks of their own


@dataclass(frozen=True, eq=False)
class Series:
    """One curve. `color` is a CSS variable; `dash` an SVG dash pattern or nothing."""

    name: str
    x: Float64
    y: Float64
    color: str
    dash: str = ""


def curves(name: str, title: str, description: str, series: Sequence[Series], y_name: str = "accuracy, %") -> str:
    """A line chart; series without a finite point are left out, and without any series there is no chart."""
    shown = [s for s in (_finite(s) for s in series) if s.x.size]
    if not shown:
        return ""
    xs = ticks(min(float(s.x.min()) for s in shown), max(float(s.x.max()) for s in shown))
    ys = ticks(min(float(s.y.min()) for s in shown), max(float(s.y.max()) for s in shown))
    x1 = max(float(s.x.max()) for s in shown)
    longest = max(len(f"{s.y[-1]:.1f} {s.name}") for s in shown)
    right = min(182.0, 16.0 + 8.1 * longest)  # room for the labels, at the size they have on a phone
    frame = Frame(min(float(s.x.min()) for s in shown), x1, ys[0], ys[-1], right=right)
    inside = [x for x in xs if frame.x0 <= x <= frame.x1]
    body = [frame.grid(inside, ys, "round", y_name)]
    for s in shown:
        path = "".join(
            f"{'L' if at else 'M'}{num(frame.x(x))} {num(frame.y(y))}"
            for at, (x, y) in enumerate(zip(s.x.tolist(), s.y.tolist(), strict=True))
        )
        dash = f' stroke-dasharray="{s.dash}"' if s.dash else ""
        body.append(f'<path class="line" style="stroke:var({s.color})"{dash} d="{path}"/>')
        body.append(_marks(frame, s))
    ends = [frame.y(float(s.y[-1])) for s in shown]
    for s, end, at in zip(shown, ends, apart(ends, GAP, 12.0, HEIGHT - 12.0), strict=True):
        x = frame.x(float(s.x[-1]))
        edge = frame.width - frame.right + 9
        body.append(
            f'<path class="lead" style="stroke:var({s.color})" d="M{num(x + 3)} {num(end)}L{num(edge - 2)} {num(at)}"/>'
        )
        body.append(text(edge + 1, at + 4, f"{_shown(float(s.y[-1]))} {s.name}", "label", color=s.color))
    return svg(name, title, description, "".join(body))


def _shown(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")


def _finite(s: Series) -> Series:
    keep = np.isfinite(s.x) & np.isfinite(s.y)
    return Series(s.name, s.x[keep], s.y[keep], s.color, s.dash)


def _marks(frame: Frame, s: Series) -> str:
    """Small dots where something was evaluated, each with its number for the pointer."""
    pairs = list(zip(s.x.tolist(), s.y.tolist(), strict=True))
    if len(pairs) > POINTS:
        pairs = pairs[-1:]
    dots = "".join(
        f'<circle cx="{num(frame.x(x))}" cy="{num(frame.y(y))}" r="2.1"><title>round {x:g}: {y:.1f}</title></circle>'
        for x, y in pairs
    )
    return f'<g style="fill:var({s.color})">{dots}</g>'


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
