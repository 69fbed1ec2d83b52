"""Small plots as SVG, without any library: lines over logarithmic axes, and bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#1f6fb2", "#c8553d", "#3c8d5a", "#7a5195", "#8a6d3b")
WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 34, 46
Points = Sequence[tuple[float, float]]


def _text(x: float, y: float, words: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def _page(width: int, height: int, title: str, body: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            'font-family="Helvetica, Arial, sans-serif" font-size="11" fill="#333" role="img">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            _text(12, 18, title, "start", ' font-size="13" font-weight="bold"'),
            *body,
            "</svg>\n",
        ]
    )


def short(value: float) -> str:
    """A number on an axis.

    >>> short(0.05), short(20.0), short(1500.0), short(100_000.0), short(11_000_000.0)
    ('0.05', '20', '1.5k', '100k', '11M')
    """
    for size, mark in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{mark}"
    return f"{value:.3g}"


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, or the powers alone where there are many."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1,)):
        out = [step * 10.0**d for d in decades for step in steps if low <= step * 10.0**d <= high * 1.0001]
        if len(out) <= 7:
            return out
    return out


def lines(title: str, across: str, up: str, series: Mapping[str, Points], marks: Sequence[float] = ()) -> str:
    """Curves of positive numbers, both axes logarithmic. marks: what stands on the axis across, else round numbers."""
    every = [point for points in series.values() for point in points]
    x0, x1 = min(x for x, _ in every), max(x for x, _ in every)
    y0, y1 = min(y for _, y in every) / 1.3, max(y for _, y in every) * 1.3
    if y1 < 10 * y0:  # a decade at least, so that a flat curve looks flat
        middle = math.sqrt(y0 * y1)
        y0, y1 = middle / math.sqrt(10), middle * math.sqrt(10)

    def at(x: float, y: float) -> tuple[float, float]:
        wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        right = math.log(x / x0) / math.log(x1 / x0) if x1 > x0 else 0.5
        return LEFT + 12 + right * (wide - 24), TOP + high - math.log(y / y0) / math.log(y1 / y0) * high

    body = []
    for y in _ticks(y0, y1):
        down = at(x0, y)[1]
        body.append(f'<path d="M{LEFT} {down:.1f}H{WIDTH - RIGHT}" stroke="#e3e3e3"/>')
        body.append(_text(LEFT - 6, down + 4, short(y), "end"))
    for x in marks or _ticks(x0, x1):
        body.append(_text(at(x, y1)[0], HEIGHT - BOTTOM + 16, short(x)))
    body.append(f'<path d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}" stroke="#888"/>')
    body.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across))
    body.append(_text(0, 0, up, "middle", f' transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"'))
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [at(x, y) for x, y in sorted(points)]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        body.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.8" fill="{colour}"/>' for x, y in places]
        if len(series) > 1:
            from_left = LEFT + 14 + number * 120
            body.append(f'<circle cx="{from_left}" cy="{TOP + 2}" r="3.5" fill="{colour}"/>')
            body.append(_text(from_left + 8, TOP + 6, name, "start"))
    return _page(WIDTH, HEIGHT, title, body)


def bars(title: str, unit: str, rows: Sequence[tuple[str, float, bool]]) -> str:
    """Horizontal bars from zero: (name, value, whether it is ours)."""
    left, row, width = 250, 22, 640
    most = max(value for _, value, _ in rows)
    body = []
    for at, (name, value, own) in enumerate(rows):
        y = TOP + at * row
        long = (width - left - 80) * value / most
        body.append(_text(left - 8, y + 14, name, "end", ' font-weight="bold"' if own else ""))
        colour = COLOURS[0] if own else "#b5b5b5"
        body.append(f'<rect x="{left}" y="{y + 3}" width="{max(long, 1):.1f}" height="{row - 7}" fill="{colour}"/>')
        body.append(_text(left + max(long, 1) + 6, y + 14, f"{value:.3g} {unit}", "start"))
    return _page(width, TOP + len(rows) * row + 12, title, body)
