"""Group label sampling: how often each class is drawn when the groups teach the expert.

    kind           p(y) ∝                                          over
    prior          N_y = Σ_g N_gy                                   all classes
    group (a, b)   Σ_g r_g π_gy^b / Σ_c π_gc^b,  r_g ∝ N_g^a        groups with samples, 0⁰ := 0
    tempered (tau) N_y^tau                                          classes with N_y > 0
    uniform        1                                                classes with N_y > 0
    uniform-all    1                                                all classes

"group" with a = b = 1 is "prior"; a = 0 lets every group count alike, so that small groups are heard.
"prior" and "tempered" go back to FedFTG (Zhang et al., CVPR 2022); "uniform-all" is DENSE's.
"""

from __future__ import annotations

import math

import numpy as np

from disue.core.checks import Array, Float64, IntVector
from disue.core.errors import UserError
from disue.parts.expert import ranges

KINDS = ("prior", "group", "tempered", "uniform", "uniform-all")


def check_labels(kind: object, *, a: object = 1.0, b: object = 1.0, tau: object = 0.5) -> None:
    """The ranges of `label_shares`' arguments, for parts that check at construction."""
    ranges.name("expert.labels", kind, KINDS)
    ranges.number("expert.a", a, 0.0, 1.0)
    ranges.number("expert.b", b, 0.0, 1.0)
    ranges.number("expert.tau", tau, 0.0, 1.0)


def table(counts: Array) -> Array:
    """`counts` if it is a matrix (groups, classes) of finite numbers ≥ 0."""
    if counts.ndim != 2 or counts.dtype.kind not in "iuf":
        raise UserError(
            f"counts: expected numbers of shape (groups, classes), got {counts.dtype} of shape {counts.shape}",
            key="counts",
            found=counts.shape,
        )
    if counts.size and not (np.isfinite(counts).all() and counts.min() >= 0):
        raise UserError(f"counts: expected finite counts ≥ 0, got {counts.min()}", key="counts")
    return counts


def label_shares(kind: str, counts: Array, *, a: float = 1.0, b: float = 1.0, tau: float = 0.5) -> Float64:
    """(C,) the shares p(y) of the classes, summing to one; all zero where no group has a sample.

    counts   (g, C) samples per group and class; a group without samples changes nothing, same bits

    >>> label_shares("prior", np.array([[30, 10, 0], [10, 30, 0]])).tolist()
    [0.5, 0.5, 0.0]
    """
    check_labels(kind, a=a, b=b, tau=tau)
    counts = table(counts)
    classes = counts.shape[1]
    if kind == "uniform-all":
        return np.full(classes, 1.0 / classes) if classes else np.zeros(0)
    total = columns(counts)
    seen = total > 0
    if not seen.any():
        return np.zeros(classes)
    if kind == "uniform":
        raw = seen.astype(np.float64)
    elif kind == "tempered":
        raw = np.where(seen, np.power(total, tau, where=seen, out=np.zeros(classes)), 0.0)
    elif kind == "prior":
        raw = total
    else:
        raw = _by_group(counts.astype(np.float64), a, b)
    return raw / math.fsum(raw)


def columns(rows: Array) -> Float64:
    """(C,) column sums, rounded once: the order of rows and rows of zeros cannot change a bit."""
    if rows.dtype.kind in "iu":
        return np.asarray(rows.sum(axis=0), np.float64)
    return np.array([math.fsum(column) for column in rows.T], np.float64)


def _by_group(counts: Float64, a: float, b: float) -> Float64:
    """Each group's tempered label shares, mixed by its tempered size."""
    sizes = columns(counts.T)
    rows = counts[sizes > 0]
    own = rows / sizes[sizes > 0][:, None]
    tempered = np.power(own, b, where=rows > 0, out=np.zeros_like(own))
    mixed = tempered / columns(tempered.T)[:, None]
    return columns(mixed * np.power(sizes[sizes > 0], a)[:, None])


def draw(shares: Float64, amount: int, rng: np.random.Generator) -> IntVector:
    """`amount` labels, stratified: ⌊amount · p(y)⌋ each, the rest by largest remainder, then shuffled.

    Equal remainders go to the smaller class; a class with share 0 is never drawn.
    """
    labels = np.repeat(np.arange(shares.size, dtype=np.int64), quota(shares, amount))
    return rng.permutation(labels)


def quota(shares: Float64, amount: int) -> IntVector:
    """(C,) how many of `amount` labels each class gets."""
    ranges.whole("labels.amount", int(amount) if isinstance(amount, np.integer) else amount)
    total = math.fsum(shares)
    if not np.isfinite(shares).all() or (shares.size and shares.min() < 0):
        raise UserError("labels.shares must be finite and ≥ 0", key="labels.shares")
    if total <= 0:
        if amount == 0:
            return np.zeros(shares.size, np.int64)
        raise UserError("labels.shares: no class has a share above 0, so no label can be drawn", key="labels")
    exact = shares / total * amount
    out = np.floor(exact).astype(np.int64)
    rest = np.where(shares > 0, exact - out, -1.0)
    out[np.argsort(-rest, kind="stable")[: amount - int(out.sum())]] += 1
    return out
