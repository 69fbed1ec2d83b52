"""The frame of a chart: scales, ticks, the parts of an SVG. Colours are CSS variables, so that both themes fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 500.0, 310.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 8.0, 28.0, 34.0


def esc(value: object) -> str:
    """Text that is safe in HTML and in attributes."""
    return escape(str(value), quote=True)


def num(value: float) -> str:
    """A coordinate: two decimals at most, no trailing zeros.

    >>> num(3.0), num(2.456), num(-0.001)
    ('3', '2.46', '0')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`.

    >>> ticks(12, 57)
    [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    """
    if not high > low:
        low, high = low - 1.0, high + 1.0
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, final = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(at * step, 10) for at in range(first, final + 1)]


@dataclass(frozen=True)
class Frame:
    """Maps values to places inside an SVG of width × height with margins for axes and labels."""

    x0: float
    x1: float
    y0: float
    y1: float
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = RIGHT
    top: float = TOP
    bottom: float = BOTTOM

    def x(self, value: float) -> float:
        span = (self.x1 - self.x0) or 1.0
        return self.left + (value - self.x0) / span * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        span = (self.y1 - self.y0) or 1.0
        return self.height - self.bottom - (value - self.y0) / span * (self.height - self.top - self.bottom)

    def grid(self, xs: Sequence[float], ys: Sequence[float], x_name: str, y_name: str) -> str:
        """Horizontal hairlines with numbers, ticks below, names of both axes."""
        base, end = self.height - self.bottom, self.width - self.right
        lines = "".join(f"M{num(self.left)} {num(self.y(v))}H{num(end)}" for v in ys)
        out = [f'<path class="grid" d="{lines}"/>']
        out += [text(self.left - 7, self.y(v) + 4, f"{v:g}".replace("-", "−"), "tick", "end") for v in ys]
        out += [text(self.x(v), base + 17, f"{v:g}", "tick", "middle") for v in xs]
        if x_name:
            out.append(text(end, base + 31, x_name, "axis", "end"))
        if y_name:
            out.append(text(0, self.top - 14, y_name, "axis"))
        return "".join(out)


def text(x: float, y: float, words: object, css: str = "", anchor: str = "start", color: str = "") -> str:
    """One line of text."""
    style = f' style="fill:var({color})"' if color else ""
    at = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{num(x)}" y="{num(y)}" class="{css}"{at}{style}>{esc(words)}</text>'


def svg(name: str, title: str, description: str, body: str, width: float = WIDTH, height: float = HEIGHT) -> str:
    """An inline SVG that a screen reader can name. `name` is unique on the page."""
    return (
        f'<svg class="chart" viewBox="0 0 {num(width)} {num(height)}" role="img" '
        f'aria-labelledby="{esc(name)}-t {esc(name)}-d">'
        f'<title id="{esc(name)}-t">{esc(title)}</title><desc id="{esc(name)}-d">{esc(description)}</desc>'
        f"{body}</svg>"
    )


def apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """`places` moved as little as a sweep can, so that neighbours are `gap` apart, inside [low, high].

    >>> apart([10.0, 12.0, 50.0], 8.0, 0.0, 100.0)
    [10.0, 18.0, 50.0]
    """
    order = sorted(range(len(places)), key=lambda at: (places[at], at))
    out = list(places)
    floor = low
    for at in order:
        out[at] = max(out[at], floor)
        floor = out[at] + gap
    ceiling = high
    for at in reversed(order):
        out[at] = min(out[at], ceiling)
        ceiling = out[at] - gap
    return out


def joined(parts: Iterable[str]) -> str:
    return "".join(part for part in parts if part)
