"""Every client in one picture, sorted by what a constant predictor gets: dots, or bands where clients are many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from disue.core.checks import Array, Float64
from disue.reports.axes import Frame, num, svg, text

MOST = 240  # clients that get dots of their own
COLUMNS = 40  # of more, so many columns of clients that stand side by side in the order


@dataclass(frozen=True, eq=False)
class Cloud:
    """One model's accuracy for each client (n,).

    A hollow dot or a dashed line is the model as received; a full one is the model with the client's prior.
    """

    name: str
    values: Float64
    color: str
    full: bool = False


def sorted_clients(
    name: str, title: str, description: str, clients: Array, majority: Float64 | None, clouds: Sequence[Cloud]
) -> str:
    """Clients from left to right by the majority baseline (drawn as a line), else by the first model.

    Of more than `MOST` clients, each of `COLUMNS` columns shows its median and its tenth to ninetieth percentile.
    """
    clouds = [c for c in clouds if np.isfinite(c.values).any()]
    if not clouds or not clients.size:
        return ""
    by = clouds[0].values if majority is None else majority
    order = np.argsort(np.nan_to_num(by, nan=-1.0), kind="stable")
    many = order.size > MOST
    columns = np.array_split(order, COLUMNS) if many else []
    width, height = 500.0, 360.0
    frame = Frame(0, max((len(columns) if many else order.size) - 1, 1), 0, 100, width, height, bottom=26.0)
    body = [frame.grid([], [0, 20, 40, 60, 80, 100], "", "accuracy, %")]
    body.append(text(frame.left, height - 6, "← mixed labels", "axis"))
    body.append(text(width - frame.right, height - 6, "one label →", "axis", "end"))
    if many:
        body += [_band(frame, cloud, columns) for cloud in clouds]
        if majority is not None:
            middle = _levels(majority, columns)[1]
            body.append(_line(frame, middle, 'style="stroke:var(--majority)" stroke-dasharray="2 3"'))
        return svg(name, title, description, "".join(body), width, height) + _key(clouds, majority, many=True)
    for cloud in clouds:
        dots = "".join(
            f'<circle cx="{num(frame.x(at))}" cy="{num(frame.y(value))}" r="2.3">'
            f"<title>{int(clients[who])}: {value:.0f}</title></circle>"
            for at, who in enumerate(order.tolist())
            if np.isfinite(value := float(cloud.values[who]))
        )
        style = f"fill:var({cloud.color})" if cloud.full else f"fill:none;stroke:var({cloud.color})"
        body.append(f'<g class="dots" style="{style}">{dots}</g>')
    if majority is not None:
        body.append(_line(frame, majority[order], 'style="stroke:var(--majority)" stroke-dasharray="2 3"'))
    return svg(name, title, description, "".join(body), width, height) + _key(clouds, majority)


def _levels(values: Float64, columns: Sequence[Array]) -> Float64:
    """(3, columns) the 10th, 50th and 90th percentile in each column; NaN where none of its clients has a value."""
    out = np.full((3, len(columns)), np.nan)
    for at, who in enumerate(columns):
        known = values[who][np.isfinite(values[who])]
        if known.size:
            out[:, at] = np.percentile(known, (10, 50, 90))
    return out


def _band(frame: Frame, cloud: Cloud, columns: Sequence[Array]) -> str:
    """The median as a line, in a band from the 10th to the 90th percentile."""
    low, middle, high = _levels(cloud.values, columns)
    known = np.flatnonzero(np.isfinite(middle)).tolist()
    edge = [(at, high[at]) for at in known] + [(at, low[at]) for at in reversed(known)]
    path = "".join(f"{'L' if n else 'M'}{num(frame.x(at))} {num(frame.y(float(y)))}" for n, (at, y) in enumerate(edge))
    style = f'style="stroke:var({cloud.color})"' + ("" if cloud.full else ' stroke-dasharray="6 4"')
    return f'<path class="band" style="fill:var({cloud.color})" d="{path}Z"/>' + _line(frame, middle, style)


def _line(frame: Frame, values: Float64, style: str) -> str:
    """A line through the values at 0, 1, 2 …; what is not finite is passed over."""
    known = np.flatnonzero(np.isfinite(values)).tolist()
    points = (f"{num(frame.x(at))} {num(frame.y(float(values[at])))}" for at in known)
    return f'<path class="line" {style} d="M{"L".join(points)}"/>' if known else ""


def _key(clouds: Sequence[Cloud], majority: Float64 | None, *, many: bool = False) -> str:
    """Names of the dots or lines with their means."""
    marks = ("rule", "dashes") if many else ("dot", "ring")
    items = [
        f'<li><i class="{marks[0] if c.full else marks[1]}" style="color:var({c.color})"></i>'
        f"<span>{c.name}</span><b>{np.nanmean(c.values):.1f}</b></li>"
        for c in clouds
    ]
    if majority is not None and np.isfinite(majority).any():
        items.append(
            '<li><i class="dash" style="color:var(--majority)"></i>'
            f"<span>always its majority class</span><b>{np.nanmean(majority):.1f}</b></li>"
        )
    return f'<ul class="key inline">{"".join(items)}</ul>'
