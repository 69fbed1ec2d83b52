"""What an engine knows of a client after an exchange; the server sees of it what the door shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from disue.core.checks import Array, Float64, IntVector
from disue.core.layout import Layout


@dataclass(frozen=True, eq=False)
class Answer:
    """One client's answer.

    received  (d,) what it was sent, after its choice      start  (d,) what it really trained from
    choice    (c,) float64 over the vectors that it was sent
    """

    id: int
    received: Array
    start: Array
    end: Array
    choice: Float64
    size: int
    labels: IntVector
    extras: Mapping[str, Array]
    steps: int
    loss: float
    seconds: float


def fault(layout: Layout, end: Array, others: Mapping[str, Array]) -> str | None:
    """What is not finite in an answer, as the end of a sentence; None where all is well."""
    bad = np.flatnonzero(~np.isfinite(end))
    if bad.size:
        return f"its update holds {_count(end[bad])}, the first in {place(layout, int(bad[0]))}"
    for name, value in others.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return f'its "{name}" holds {_count(value[~np.isfinite(value)])}'
    return None


def place(layout: Layout, at: int) -> str:
    """The entry of the vector by its tensor's name, as in fc1.weight[12, 4]."""
    for entry in layout.entries:
        where = layout.slices[entry.name]
        if where.start <= at < where.stop:
            index = np.unravel_index(at - where.start, entry.shape)
            return f"{entry.name}[{', '.join(str(int(i)) for i in index)}]" if index else entry.name
    raise IndexError(at)


def _count(values: Array) -> str:
    nan = int(np.isnan(values).sum())
    words = [f"{count} {word}" for count, word in ((nan, "NaN"), (values.size - nan, "inf")) if count]
    return " and ".join(words)
