"""The one door: what the server may see of the clients' answers, and the values that come through it.

A plain simulation answers from memory, the protected protocol by running its next exchange, a real
network by messages. A method cannot tell the difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from disue.core.checks import Array, Float64, IntVector, Matrix, Vector, positions
from disue.core.groups import Groups
from disue.core.layout import WHOLE, Part
from disue.core.orders import Sight


@dataclass(frozen=True, eq=False)
class Gram:
    """Inner products of clients' vectors, with the clients' ids; rows are taken by ids only.

    values   (n, n) float64, symmetric
    anchors  (a, n) inner products of the server's own vectors with the clients'; (0, n) without any
    squares  (a, a) inner products of the anchors among themselves
    """

    ids: IntVector
    values: Float64
    anchors: Float64
    squares: Float64

    @staticmethod
    def of(ids: IntVector, values: Float64) -> Gram:
        return Gram(ids, values, np.zeros((0, ids.size)), np.zeros((0, 0)))

    def among(self, ids: IntVector) -> Gram:
        at = positions(ids, self.ids, "gram")
        return Gram(ids, self.values[np.ix_(at, at)], self.anchors[:, at], self.squares)

    def norms(self) -> Float64:
        """(n,)"""
        return np.asarray(np.sqrt(np.maximum(np.diag(self.values), 0.0)), np.float64)

    def cosine(self) -> Gram:
        """Normalised to cosines in [−1, 1]; a zero vector has cosine 0 to all and 1 to itself."""
        norms, anchor = self.norms(), np.sqrt(np.maximum(np.diag(self.squares), 0.0))
        with np.errstate(divide="ignore"):
            scale, anchored = np.where(norms > 0, 1 / norms, 0.0), np.where(anchor > 0, 1 / anchor, 0.0)
        # the product of the two scales first: it commutes, so the result is symmetric to the last bit
        values = np.clip(self.values * (scale[:, None] * scale[None, :]), -1.0, 1.0)
        np.fill_diagonal(values, 1.0)
        anchors = np.clip(self.anchors * (anchored[:, None] * scale[None, :]), -1.0, 1.0)
        squares = np.clip(self.squares * (anchored[:, None] * anchored[None, :]), -1.0, 1.0)
        np.fill_diagonal(squares, 1.0)
        return Gram(self.ids, values, anchors, squares)

    def distances(self) -> Float64:
        """(n, n) Euclidean distances; of cosines: meaningless, take 1 − values instead."""
        squares = np.diag(self.values)
        return np.asarray(np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * self.values, 0.0)))

    def to_anchors(self) -> Float64:
        """(a, n) Euclidean distances of the clients' vectors to the server's."""
        squares = np.diag(self.squares)[:, None] + np.diag(self.values)[None, :] - 2 * self.anchors
        return np.asarray(np.sqrt(np.maximum(squares, 0.0)))


@dataclass(frozen=True, eq=False)
class GroupSums:
    """Weighted sums over groups, and over all who answered (in one fixed order: it is no sum of sums).

    numbers  (g,) the groups asked about
    totals   (g, d) float64 Σ weight · (end − origin), in the order of ids
    weights  (g,) Σ weight
    counts   (g,) clients summed
    whole    (d,) float64 the same sum over the members of all these groups
    """

    numbers: IntVector
    totals: Float64
    weights: Float64
    counts: IntVector
    whole: Float64

    def mean(self, row: int) -> Float64:
        """(d,) the weighted mean of a group's row; zero where nobody answered."""
        total: Float64 = self.totals[row]
        return total / self.weights[row] if self.weights[row] > 0 else total

    def whole_mean(self) -> Float64:
        total = self.weights.sum()
        return self.whole / total if total > 0 else self.whole


@dataclass(frozen=True, eq=False)
class Moments:
    """Class moments of the features (F of them), summed over the members of each group, in float64.

    numbers  (g,) groups            counts  (g, C) int64 samples per class
    sums     (g, C, F) Σ φ          second  (g, F, F) Σ φ φᵀ over all classes, or (g, C, F, F) per class
    cross_xx (F+1, F+1) Σ φ̃ φ̃ᵀ under `against`, φ̃ = [φ; 1], over all groups; None without `against`
    cross_xy (F+1, F) Σ φ̃_against φ_underᵀ
    stale    True where this is a cached answer that was not refreshed
    """

    numbers: IntVector
    counts: IntVector
    sums: Float64
    second: Float64
    cross_xx: Float64 | None = None
    cross_xy: Float64 | None = None
    stale: bool = False


class Uploads(Protocol):
    """Answers of those who answered; the others are absent, not zero."""

    @property
    def ids(self) -> IntVector:
        """(n,) who answered, ascending."""
        ...

    def cosine(self, of: Part = WHOLE, anchors: Matrix | None = None) -> Gram:
        """Cosines between updates (each about its own start)."""
        ...

    def gram(self, of: Part = WHOLE, anchors: Matrix | None = None) -> Gram:
        """Inner products of updates. `anchors` (a, d): further rows of the server's own vectors."""
        ...

    def choice(self) -> Array:
        """(n, c) float64: one-hot of the start each preferred, or its shares over them."""
        ...

    def sums(self, groups: Groups, of: str = "update", shares: Float64 | None = None) -> GroupSums:
        """Weighted sums of end − origin; or of a named extra.

        shares  (n, g) in the place of membership: client `ids[i]` counts in group `groups.numbers[j]` with its weight
                times `shares[i, j]`, and in the whole with the sum of these
        """
        ...

    def labels(self, groups: Groups) -> IntVector:
        """(g, classes) int64 label counts, rows in the order of groups.numbers."""
        ...

    def finest(self) -> Groups:
        """The fewest clients whose moments and label counts are shown: the lots that came whole, else each alone."""
        ...

    def moments(
        self,
        groups: Groups,
        under: Vector | None = None,
        against: Vector | None = None,
        *,
        per_class: bool = False,
    ) -> Moments:
        """Class moments of the features under a vector (None: the one each received)."""
        ...

    def vectors(self, of: str = "update") -> Matrix:
        """(n, d) single updates, or each one's "end" or "start", or a named extra: only where nothing is protected."""
        ...


@dataclass(frozen=True)
class Door:
    """What a kind of `Uploads` offers: sight is compared with the parts' when a run is built."""

    name: str
    offers: frozenset[Sight]


PLAIN = Door("plain", frozenset(Sight))

Extras = Mapping[str, Array]
