"""Products in float64, and sketches, with the same bits on every call: torch's thread count is the only knob."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from disue.core.checks import Array, Float64, Matrix

BLOCK = 65_536  # columns taken at a time: an unblocked float64 copy of all rows would not fit
EXACT = 1_000  # clients up to which all inner products are taken
WIDTH = 256  # numbers that stand for an update above


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


def sketch(
    rows: Sequence[tuple[Array, Array]],
    anchors: Array,
    columns: Array,
    draw: Callable[[int], np.random.Generator],
    width: int = WIDTH,
) -> tuple[Matrix, Float64, Float64, Float64]:
    """(n, w) short stand-ins for end − start over some columns; their norms (n,); (a, n) and (a, a) with anchors.

    Where the columns are at most 4 · `width` the stand-ins are the updates themselves. Else each column is added,
    with a sign, to one of `width` places (CountSketch); `draw(block)` is the randomness of a block of columns.
    Norms and products with anchors are exact. Memory beyond the result: one row of a block of columns.
    """
    n, a, short = len(rows), anchors.shape[0], columns.size <= 4 * width
    out = np.zeros((n, columns.size if short else width))
    squared, crossed, squares = np.zeros(n), np.zeros((a, n)), np.zeros((a, a))
    for number, block in enumerate(blocks(columns.size)):
        at, rng = columns[block], draw(number)
        place = rng.integers(0, width, at.size)
        sign = rng.integers(0, 2, at.size) * 2.0 - 1.0
        anchored = anchors[:, at].astype(np.float64)
        squares += product(anchored, anchored)
        for row, (end, start) in enumerate(rows):
            update = np.subtract(end[at], start[at], dtype=np.float64)
            squared[row] += np.einsum("i,i", update, update)
            if a:
                crossed[:, row] += product(anchored, update[None, :])[:, 0]
            if short:
                out[row, block] = update
            else:
                out[row] += np.bincount(place, update * sign, minlength=width)
    return out.astype(np.float32), np.sqrt(squared), crossed, symmetric(squares)
