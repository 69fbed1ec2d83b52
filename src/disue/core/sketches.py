"""Inner products of many clients as rows of which they are made: nothing of size n × n is held."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from disue.core.checks import Array, Float64, IntVector, Matrix, positions
from disue.core.uploads import Gram

BLOCK = 512  # rows whose products with all others are taken at a time: 20 MiB at 10,000 clients


class Sketched(Gram):
    """A `Gram` of more clients than a matrix is made for.

    rows     (n, w) float32: the clients' vectors where they are short, else sketches of them, whose inner
             products estimate the true ones; of unit length after `cosine`
    lengths  (n,) float64 exact Euclidean norms
    anchors, squares  exact, as in `Gram`

    `values` makes the whole matrix anew each time it is read; `blocks` gives it a few rows at a time. The root
    mean square error of a cosine of unrelated vectors is 1/√w (Charikar, Chen, Farach-Colton, ICALP 2002).
    """

    rows: Matrix
    lengths: Float64

    def __init__(self, ids: IntVector, rows: Matrix, lengths: Float64, anchors: Float64, squares: Float64) -> None:
        given = {"ids": ids, "rows": rows, "lengths": lengths, "anchors": anchors, "squares": squares}
        for name, value in given.items():
            object.__setattr__(self, name, value)  # frozen, as what it is a kind of

    @property
    def values(self) -> Float64:
        out = np.empty((self.ids.size, self.ids.size))
        for at, block in self.blocks():
            out[at] = block
        return out

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """(rows, their (b, n) float32 products with all), from the first to the last."""
        for start in range(0, self.ids.size, BLOCK):
            at = slice(start, min(start + BLOCK, self.ids.size))
            block = self.rows[at] @ self.rows.T
            own = np.arange(at.start, at.stop)
            block[own - start, own] = self.lengths[at] ** 2
            yield at, block

    def among(self, ids: IntVector) -> Sketched:
        at = positions(ids, self.ids, "gram")
        return Sketched(ids, self.rows[at], self.lengths[at], self.anchors[:, at], self.squares)

    def norms(self) -> Float64:
        return self.lengths

    def cosine(self) -> Sketched:
        """Rows of unit length by their own norm, so that cosines stay in [−1, 1]; a zero vector stays zero.

        The cosine of a zero vector with itself is 1 here as well.
        """
        own = np.linalg.norm(self.rows.astype(np.float64), axis=1)
        rows = self.rows * np.where(own > 0, 1 / np.where(own > 0, own, 1), 0.0).astype(np.float32)[:, None]
        anchor = np.sqrt(np.maximum(np.diag(self.squares), 0.0))
        scale = np.where(self.lengths > 0, 1 / np.where(self.lengths > 0, self.lengths, 1), 0.0)
        anchored = np.where(anchor > 0, 1 / np.where(anchor > 0, anchor, 1), 0.0)
        anchors = np.clip(self.anchors * (anchored[:, None] * scale[None, :]), -1.0, 1.0)
        squares = np.clip(self.squares * (anchored[:, None] * anchored[None, :]), -1.0, 1.0)
        np.fill_diagonal(squares, 1.0)
        return Sketched(self.ids, rows, np.ones(self.ids.size), anchors, squares)
