"""Class moments that may hold lies: bounds, a check that they can be true, and medians in the place of sums.

All of it is done row by row, a row being the fewest clients whose moments the door shows: a client in a plain run, with
`lot` a lot. One liar spoils one row. With Q = Σ φ φᵀ, S_c = Σ φ of class c and n_c samples:

    bound on counts     Σ_c n_c ≤ what the row's members declared; else all classes shrink alike
    bound on features   ‖S_c‖ ≤ n_c · norm and tr Q ≤ n · norm², as where no sample's features are longer than norm
    can be true         Q ⪰ Σ_c S_c S_cᵀ / n_c, since the rest is the scatter within classes; S_c = 0 without a sample
    median of means     of each entry of the classes' means and of the covariance within classes, over the rows that
                        have them (Nemirovsky and Yudin 1983; Minsker 2015, arXiv 1308.1334); a class that two rows hold
                        or fewer has no median that bears a liar

A median of matrices need be no covariance: what is negative of it is cut off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from disue.core.checks import Float64, IntVector
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.uploads import Moments
from disue.parts.expert.heads import symmetric

ROUNDING = 1e-6  # of the trace


@dataclass(frozen=True, eq=False)
class Row:
    """counts (C,) float64, means (C, F), within (F, F): Q − Σ_c S_c S_cᵀ / n_c"""

    counts: Float64
    means: Float64
    within: Float64

    @property
    def freedom(self) -> float:
        return float(self.counts.sum() - (self.counts > 0).sum())

    @property
    def square(self) -> float:
        """tr Q"""
        return float(np.trace(self.within) + (self.counts * (self.means**2).sum(axis=1)).sum())


@dataclass(frozen=True, eq=False)
class Heard:
    """What is left, as one row and row by row; what is wrong with the others; how long features are (RMS)."""

    moments: Moments | None = None
    rows: tuple[Row, ...] = ()
    wrong: Mapping[int, str] = field(default_factory=dict)
    norm: float = 0.0


@dataclass(frozen=True)
class Bearing:
    """What is done with rows before they are one; see the keys of `MomentsDistil`."""

    counts: bool = False
    norm: float = 0.0
    consistent: bool = False
    median: bool = False

    @property
    def on(self) -> bool:
        return self.counts or self.norm > 0 or self.consistent or self.median

    def check(self, *, guarded: bool, transport: bool, per_class: bool, pooled: bool) -> None:
        """Refuses settings of `MomentsDistil` that would let lies in beside the rows that are looked at."""
        if not self.on and not guarded:
            return
        given = {"bound_counts": self.counts, "bound_norm": self.norm, "consistent": self.consistent}
        given |= {"robust": self.median, "guard": guarded}
        key = next(key for key, value in given.items() if value)
        for holds, needs, why in (
            (transport and not guarded, "transport = false, or a guard", "the map of how features moved is one sum"),
            (per_class, "per_class = false", "covariances per class are not looked at row by row"),
            (not pooled, 'weights = "count"', "rows are clients or lots, and no groups"),
        ):
            if holds:
                raise UserError(f"expert.{key} needs {needs}: {why}", key=f"expert.{key}", found=given[key])

    def heard(self, rows: Moments, declared: Float64) -> Heard:
        """declared (g,): samples that the members of each row say they have."""
        left: list[Row] = []
        wrong: dict[int, str] = {}
        norms = []
        for at in np.flatnonzero(rows.counts.any(axis=1)).tolist():
            why = fault(rows, at)
            one = None if why else row_of(rows, at)
            if one is not None and self.consistent:
                why = inconsistent(rows, at, one)
            if one is None or why:
                wrong[at] = why
                continue
            norms.append(float(np.sqrt(max(one.square, 0.0) / one.counts.sum())))
            one = shrunk(one, float(declared[at])) if self.counts else one
            if one.counts.any():
                left.append(bounded(one, self.norm) if self.norm else one)
        if not left:
            return Heard(None, (), wrong)
        together = _moments(median(left) if self.median else pooled(left))
        crossed = (rows.cross_xx, rows.cross_xy)
        if all(one is not None and np.isfinite(one).all() for one in crossed):
            together = replace(together, cross_xx=rows.cross_xx, cross_xy=rows.cross_xy)
        return Heard(together, tuple(left), wrong, float(np.median(norms)))


def row_of(rows: Moments, at: int) -> Row:
    counts = rows.counts[at].astype(np.float64)
    means = rows.sums[at] / np.where(counts > 0, counts, 1.0)[:, None]
    spread = np.sqrt(counts)[:, None] * means
    return Row(counts, means, symmetric(rows.second[at] - spread.T @ spread))


def fault(rows: Moments, at: int) -> str:
    """Why a row cannot be read at all; "" where it can."""
    if not (np.isfinite(rows.sums[at]).all() and np.isfinite(rows.second[at]).all()):
        return "numbers that are not finite"
    return "counts below zero" if (rows.counts[at] < 0).any() else ""


def inconsistent(rows: Moments, at: int, one: Row) -> str:
    """Why no features have these moments; "" where some may."""
    if rows.sums[at][rows.counts[at] == 0].any():
        return "a sum of features of a class without a sample"
    level = ROUNDING * max(float(np.trace(rows.second[at])), 0.0)
    if float(np.linalg.eigvalsh(one.within).min(initial=0.0)) < -level:
        return "less scatter than its means alone have"
    return ""


def shrunk(one: Row, most: float) -> Row:
    """With no more samples than `most`, the classes in the shares that they had."""
    total = float(one.counts.sum())
    if total <= most:
        return one
    counts = np.floor(one.counts * (most / total))
    means = np.where(counts[:, None] > 0, one.means, 0.0)
    return Row(counts, means, one.within * (float(counts.sum()) / total))


def bounded(one: Row, norm: float) -> Row:
    """As of features no longer than `norm`: means are cut to it, then the scatter to what is left of n · norm²."""
    lengths = np.sqrt((one.means**2).sum(axis=1))
    means = one.means * np.where(lengths > norm, norm / np.where(lengths > 0, lengths, 1.0), 1.0)[:, None]
    room = float(one.counts.sum()) * norm**2 - float((one.counts * (means**2).sum(axis=1)).sum())
    trace = float(np.trace(one.within))
    within = one.within * (max(room, 0.0) / trace) if trace > room and trace > 0 else one.within
    return Row(one.counts, means, within)


def pooled(rows: list[Row]) -> Row:
    """The sum of all: class means by counts, and the scatter about these, so that of rows' means too."""
    counts = np.sum([one.counts for one in rows], axis=0)
    sums = np.sum([one.counts[:, None] * one.means for one in rows], axis=0)
    means = sums / np.where(counts > 0, counts, 1.0)[:, None]
    within = np.zeros_like(rows[0].within)
    for one in rows:
        away = np.sqrt(one.counts)[:, None] * (one.means - means)
        within += one.within + away.T @ away
    return Row(counts, means, symmetric(within))


def median(rows: list[Row]) -> Row:
    """Medians of the classes' means and of the covariance within classes; counts are sums."""
    counts = np.sum([one.counts for one in rows], axis=0)
    means = np.zeros_like(rows[0].means)
    for label in np.flatnonzero(counts).tolist():
        means[label] = np.median([one.means[label] for one in rows if one.counts[label] > 0], axis=0)
    spreads = [one.within / one.freedom for one in rows if one.freedom > 0]
    within = np.zeros_like(rows[0].within)
    if spreads:
        values, vectors = np.linalg.eigh(symmetric(np.median(spreads, axis=0)))
        freedom = float(counts.sum() - (counts > 0).sum())
        within = symmetric(freedom * (vectors * np.maximum(values, 0.0)) @ vectors.T)
    return Row(counts, means, within)


def _moments(one: Row) -> Moments:
    counts = np.rint(one.counts).astype(np.int64)
    spread = np.sqrt(one.counts)[:, None] * one.means
    return Moments(
        np.zeros(1, np.int64),
        counts[None],
        (one.counts[:, None] * one.means)[None],
        (one.within + spread.T @ spread)[None],
    )


def said(wrong: Mapping[int, str], rows: Groups) -> str:
    """A sentence that names the rows left out; "" where there are none."""
    if not wrong:
        return ""
    words = [f"{_named(rows.members(int(rows.numbers[at])))} ({why})" for at, why in sorted(wrong.items())]
    return f"moments are left out of {', '.join(words)}"


def _named(ids: IntVector) -> str:
    return f"client {ids[0]}" if ids.size == 1 else f"the lot of clients {', '.join(map(str, ids.tolist()))}"
