"""Products in float64 that have the same bits on every call: torch's thread count is the only knob."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from disue.core.checks import Array, Float64

BLOCK = 65_536  # columns taken at a time: an unblocked float64 copy of all rows would not fit


def blocks(d: int) -> Iterator[slice]:
    """The columns 0 … d − 1, a block at a time."""
    for start in range(0, d, BLOCK):
        yield slice(start, min(start + BLOCK, d))


def product(a: Array, b: Array) -> Float64:
    """a bᵀ of float64 matrices (n, d), (m, d) → (n, m)."""
    out: Float64 = torch.mm(torch.from_numpy(a), torch.from_numpy(b).T).numpy()
    return out


def symmetric(values: Float64) -> Float64:
    """The upper triangle, mirrored: BLAS does not promise that a product with itself is symmetric."""
    upper = np.triu(values)
    return upper + np.triu(values, 1).T


def gram(rows: Sequence[tuple[Array, Array]], anchors: Array, columns: Array) -> tuple[Float64, Float64, Float64]:
    """Inner products of end − start over some columns: (n, n) among rows, (a, n) and (a, a) with anchors.

    rows     (end, start) of each client      columns  indices of the vector's entries
    """
    n, a = len(rows), anchors.shape[0]
    values, crossed, squares = np.zeros((n, n)), np.zeros((a, n)), np.zeros((a, a))
    for block in blocks(columns.size):
        at = columns[block]
        updates = np.empty((n, at.size))
        for row, (end, start) in enumerate(rows):
            np.subtract(end[at], start[at], out=updates[row], dtype=np.float64)
        anchored = anchors[:, at].astype(np.float64)
        values += product(updates, updates)
        crossed += product(anchored, updates)
        squares += product(anchored, anchored)
    return symmetric(values), crossed, symmetric(squares)
