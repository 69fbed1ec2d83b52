"""Symmetric matrices as their upper triangles: what is sent of them."""

from __future__ import annotations

import numpy as np

from disue.core.checks import Float64


def packed(square: Float64) -> Float64:
    """(…, n, n) symmetric → the upper triangles, one after the other."""
    rows, columns = np.triu_indices(square.shape[-1])
    return np.ascontiguousarray(square[..., rows, columns]).reshape(-1)


def unpacked(flat: Float64, n: int, leading: tuple[int, ...] = ()) -> Float64:
    """The way back."""
    rows, columns = np.triu_indices(n)
    out = np.zeros((*leading, n, n))
    values = flat.reshape(*leading, rows.size)
    out[..., rows, columns] = values
    out[..., columns, rows] = values
    return out
