"""Starting vectors, each kept once however many clients receive it."""

from __future__ import annotations

import numpy as np

from disue.core.checks import Matrix, Vector
from disue.core.groups import UNKNOWN
from disue.core.method import View


class Distinct:
    """Collects vectors and says the row of each; two vectors with the same bits share a row."""

    def __init__(self) -> None:
        self._rows: list[Vector] = []
        self._alike: dict[bytes, list[int]] = {}

    def add(self, vector: Vector) -> int:
        """The row of `vector`, a new one only where no row has its bits."""
        bits = np.ascontiguousarray(vector).view(np.uint32)
        few = bits[:: max(1, bits.size // 64)].tobytes()  # tells most vectors apart without reading them all
        rows = self._alike.setdefault(few, [])
        for row in rows:
            if np.array_equal(self._rows[row].view(np.uint32), bits):
                return row
        rows.append(len(self._rows))
        self._rows.append(np.ascontiguousarray(vector))
        return rows[-1]

    def matrix(self) -> Matrix:
        """(s, d)"""
        return np.stack(self._rows)


def expert_of(view: View) -> Vector:
    """The expert; the average where the method has none."""
    return view.average if view.expert is None else view.expert


def blend(share: float, expert: Vector, model: Vector) -> Vector:
    """share · expert + (1 − share) · model, in float32; the ends of the range are the vectors themselves."""
    if share == 1.0:
        return expert
    if share == 0.0:
        return model
    return np.float32(share) * expert + np.float32(1.0 - share) * model


def model_of(view: View, number: int) -> Vector:
    """A group's model; the average for a client that was never placed."""
    if number == UNKNOWN:
        return view.average
    row = int(view.groups.rows(np.array([number], np.int64))[0])
    return view.average if row < 0 else view.models[row]
