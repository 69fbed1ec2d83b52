"""Every client in one picture: sorted by what a constant predictor gets, a dot for each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from disue.core.checks import Array, Float64
from disue.reports.axes import Frame, num, svg, text

MOST = 240  # clients drawn; of more, every so many


@dataclass(frozen=True, eq=False)
class Cloud:
    """One model's accuracy for each client (n,). A hollow dot is the model as received, a full one with the prior."""

    name: str
    values: Float64
    color: str
    full: bool = False


def sorted_clients(
    name: str, title: str, description: str, clients: Array, majority: Float64 | None, clouds: Sequence[Cloud]
) -> str:
    """Clients from left to right by the majority baseline (drawn as a line), else by the first model."""
    clouds = [c for c in clouds if np.isfinite(c.values).any()]
    if not clouds or not clients.size:
        return ""
    by = clouds[0].values if majority is None else majority
    order = np.argsort(np.nan_to_num(by, nan=-1.0), kind="stable")
    if order.size > MOST:
        order = order[np.linspace(0, order.size - 1, MOST).round().astype(int)]
    width, height = 500.0, 360.0
    frame = Frame(0, max(order.size - 1, 1), 0, 100, width, height, bottom=26.0)
    body = [frame.grid([], [0, 20, 40, 60, 80, 100], "", "accuracy, %")]
    body.append(text(frame.left, height - 6, "← mixed labels", "axis"))
    body.append(text(width - frame.right, height - 6, "one label →", "axis", "end"))
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
        path = "".join(
            f"{'L' if at else 'M'}{num(frame.x(at))} {num(frame.y(float(majority[who])))}"
            for at, who in enumerate(order.tolist())
            if np.isfinite(majority[who])
        )
        body.append(f'<path class="line" style="stroke:var(--majority)" stroke-dasharray="2 3" d="{path}"/>')
    return svg(name, title, description, "".join(body), width, height) + _key(clouds, majority)


def _key(clouds: Sequence[Cloud], majority: Float64 | None) -> str:
    """Names of the dots with their means."""
    items = [
        f'<li><i class="{"dot" if c.full else "ring"}" style="color:var({c.color})"></i>'
        f"<span>{c.name}</span><b>{np.nanmean(c.values):.1f}</b></li>"
        for c in clouds
    ]
    if majority is not None and np.isfinite(majority).any():
        items.append(
            '<li><i class="dash" style="color:var(--majority)"></i>'
            f"<span>always its majority class</span><b>{np.nanmean(majority):.1f}</b></li>"
        )
    return f'<ul class="key inline">{"".join(items)}</ul>'
