"""How far apart two updates are: by the cosine, or by the Euclidean or Manhattan length of their difference.

metric     1 − cosine                   ‖Δ_i − Δ_j‖₂        ‖Δ_i − Δ_j‖₁
sight      cosines                      inner products      single vectors: no inner product tells it
"""

from __future__ import annotations

import numpy as np

from disue.core.checks import Array, Float64, IntVector, Mask, Matrix, positions
from disue.core.layout import Part
from disue.core.orders import Sight
from disue.core.streams import Streams
from disue.core.uploads import Gram, Uploads
from disue.parts.grouping.points import Points, Table, points_of

SIGHTS = {"cosine": Sight.COSINE, "euclidean": Sight.GRAM, "l1": Sight.VECTORS}
BLOCK = 4_096  # columns of which differences are taken at a time


def compared(metric: str, part: Part, mask: Mask, uploads: Uploads, streams: Streams, exact: bool) -> Points:
    """The clients that answered as points, in the order of their ids."""
    ids = np.sort(uploads.ids)
    if metric == "cosine":
        return points_of(uploads.cosine(part).among(ids), streams, exact)
    if metric == "euclidean":
        gram = uploads.gram(part).among(ids)
        return Table(gram.cosine(), gram.distances())
    rows = _rows(uploads, ids, mask)
    inner = np.einsum("id,jd->ij", rows, rows)
    return Table(Gram.of(ids, inner).cosine(), manhattan(rows, rows))


def between(metric: str, part: Part, mask: Mask, uploads: Uploads, to: IntVector) -> Float64:
    """(n, t) distances of all that answered, in the order of `uploads.ids`, to some of them."""
    if metric == "l1":
        return manhattan(_rows(uploads, uploads.ids, mask), _rows(uploads, to, mask))
    gram = (uploads.cosine(part) if metric == "cosine" else uploads.gram(part)).among(uploads.ids)
    apart = 1.0 - gram.values if metric == "cosine" else gram.distances()
    out: Float64 = apart[:, positions(to, uploads.ids)]
    return out


def to_anchors(metric: str, part: Part, mask: Mask, uploads: Uploads, rows: Matrix, to: IntVector) -> Float64:
    """(a, t) distances of the server's own `rows` (a, entries of the part) to some of those who answered."""
    if metric == "l1":
        return manhattan(rows, _rows(uploads, to, mask))
    anchors = np.zeros((rows.shape[0], mask.size), np.float32)
    anchors[:, mask] = rows
    if metric == "cosine":
        return 1.0 - uploads.cosine(part, anchors).among(to).anchors
    return uploads.gram(part, anchors).among(to).to_anchors()


def manhattan(rows: Array, columns: Array) -> Float64:
    """(n, t) Σ |x − y|, in float64, a few entries at a time."""
    out = np.zeros((len(rows), len(columns)))
    for start in range(0, rows.shape[1], BLOCK):
        part = columns[:, start : start + BLOCK].astype(np.float64)
        for at, row in enumerate(rows[:, start : start + BLOCK]):
            out[at] += np.abs(part - row).sum(axis=1)
    return out


def _rows(uploads: Uploads, ids: IntVector, mask: Mask) -> Array:
    """(n, entries of the part) updates, in the order of `ids`."""
    return uploads.vectors()[np.ix_(positions(ids, uploads.ids, "metrics"), np.flatnonzero(mask))]
