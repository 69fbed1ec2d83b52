"""Clients as points: what linkage asks of them, from a matrix of distances or, for 1 − cosine, from rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from disue.core.checks import Float64, IntVector, Mask, Matrix
from disue.core.sketches import Sketched
from disue.core.streams import Streams
from disue.core.uploads import Gram
from disue.parts.grouping import micro
from disue.parts.grouping.merging import Merges, merge, raise_to_floor, raised
from disue.parts.grouping.number import sums_of

TREE = 5_000  # rows up to which all are merged; above, some 500 centres
SHOWN = 1_000  # clients of whom a report draws the similarity


class Points(Protocol):
    """`ids` ascending; labels are numbered 0 … k − 1 and follow `ids`."""

    @property
    def ids(self) -> IntVector: ...
    def merges(self, linkage: str, most: int) -> Merges:
        """The tree, to be cut into at most `most` groups (where it is not cut at a distance)."""
        ...

    def sums(self, labels: IntVector) -> Float64:
        """(n, k) the sum of each point's distances to the members of each cluster."""
        ...

    def raised(self, labels: IntVector, floor: int) -> IntVector:
        """Clusters below `floor` members merged into the nearest."""
        ...

    def cosines(self, labels: IntVector) -> tuple[float | None, float | None]:
        """The mean cosine of two points of one cluster, and of two clusters; None where there is no such pair."""
        ...

    def strangers(self) -> IntVector:
        """The ids of those similar to nobody."""
        ...

    def shown(self) -> tuple[IntVector, Matrix]:
        """Positions in `ids` of at most 1,000 points, evenly spaced, and their cosines."""
        ...


def points_of(gram: Gram, streams: Streams, exact: bool = False) -> Points:
    """Of cosines in the order of ids; rows are used where the door gives rows."""
    return Rows(gram, streams, exact) if isinstance(gram, Sketched) else Table(gram)


class Table:
    """All distances as one matrix, 1 − cosine unless others are given. `gram` holds the cosines."""

    def __init__(self, gram: Gram, distances: Float64 | None = None) -> None:
        self.ids, self.values = gram.ids, gram.values
        upper = np.triu(np.maximum(1.0 - gram.values, 0.0) if distances is None else distances, 1)
        self.distances = upper + upper.T

    def merges(self, linkage: str, most: int) -> Merges:
        return merge(self.distances, linkage)

    def sums(self, labels: IntVector) -> Float64:
        return sums_of(self.distances, labels)

    def raised(self, labels: IntVector, floor: int) -> IntVector:
        return raise_to_floor(labels, self.distances, floor)

    def cosines(self, labels: IntVector) -> tuple[float | None, float | None]:
        same = labels[:, None] == labels[None, :]
        upper = np.triu(np.ones_like(same), 1)
        within, between = self.values[same & upper], self.values[~same & upper]
        return (
            float(within.mean()) if within.size else None,
            float(between.mean()) if between.size else None,
        )

    def strangers(self) -> IntVector:
        apart = 1.0 - self.values + np.eye(self.ids.size)
        return self.ids[(apart == 1.0).all(axis=1)] if self.ids.size > 1 else self.ids[:0]

    def shown(self) -> tuple[IntVector, Matrix]:
        at = _spaced(self.ids.size)
        return at, self.values[np.ix_(at, at)].astype(np.float32)


@dataclass(frozen=True, eq=False)
class Rows:
    """Unit rows (n, w): sums of distances are products with sums of rows, so no n × n matrix is made.

    Distances are 1 − cosine without the cut at zero that a matrix makes: it removes rounding only.
    """

    gram: Sketched
    streams: Streams
    exact: bool = False

    @property
    def ids(self) -> IntVector:
        return self.gram.ids

    def merges(self, linkage: str, most: int) -> Merges:
        if self.exact or self.ids.size <= TREE:
            return micro.tree(self.gram.rows, linkage)
        centres = min(self.ids.size, max(micro.CENTRES, 4 * most))
        return micro.merges(self.gram.rows, linkage, centres, self.streams)

    def sums(self, labels: IntVector) -> Float64:
        sizes = np.bincount(labels).astype(np.float64)
        out = sizes[None, :] - self.gram.rows.astype(np.float64) @ micro.totals(self.gram.rows, labels).T
        at = np.arange(labels.size)
        out[at, labels] -= 1.0 - self._squares()  # a point's distance to itself
        return np.maximum(out, 0.0)

    def raised(self, labels: IntVector, floor: int) -> IntVector:
        rows = self.gram.rows.astype(np.float64)

        def apart(part: IntVector, other: IntVector) -> float:
            return max(1.0 - float(rows[part].mean(axis=0) @ rows[other].mean(axis=0)), 0.0)

        return raised(labels, apart, floor)

    def cosines(self, labels: IntVector) -> tuple[float | None, float | None]:
        totals, sizes = micro.totals(self.gram.rows, labels), np.bincount(labels).astype(np.float64)
        inside = (np.square(totals).sum() - self._squares().sum()) / 2
        everything = (np.square(totals.sum(axis=0)).sum() - self._squares().sum()) / 2
        near = float((sizes * (sizes - 1)).sum() / 2)
        far = labels.size * (labels.size - 1) / 2 - near
        return (float(inside) / near if near else None, float(everything - inside) / far if far else None)

    def strangers(self) -> IntVector:
        still: Mask = self._squares() == 0.0
        out: IntVector = self.ids[still]
        return out

    def shown(self) -> tuple[IntVector, Matrix]:
        at = _spaced(self.ids.size)
        return at, self.gram.among(self.ids[at]).values.astype(np.float32)

    def _squares(self) -> Float64:
        """(n,) squared lengths: 1 up to rounding, 0 for a client that did not move."""
        return np.asarray(np.square(self.gram.rows.astype(np.float64)).sum(axis=1))


def _spaced(n: int) -> IntVector:
    at: IntVector = np.linspace(0, n - 1, min(n, SHOWN)).astype(np.int64)
    return at
