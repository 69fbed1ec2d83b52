"""Cosines from sketches, how far off they are, and how long a sketch must be.

A cosine ρ estimated from k Gaussian rows over m buckets has standard deviation (1 − ρ²) · √(1/k + 1/m). All inner
products of 16-bit integers are exact.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from disue.core.checks import Float64
from disue.core.errors import UserError

EXACT = 1 << 23  # sketches up to this length have inner products below 2^53, exact in float64


def cosines(sketches: npt.NDArray[np.int16]) -> Float64:
    """(n, n) from (n, k) sketches; the diagonal is 1, and a sketch of zeros is like nothing else."""
    if sketches.shape[1] > EXACT:
        raise UserError(f"k must be ≤ {EXACT}, got {sketches.shape[1]}", key="k", found=sketches.shape[1])
    rows = sketches.astype(np.float64)
    products = rows @ rows.T
    lengths = np.sqrt(np.diag(products))
    scale = np.where(lengths > 0, lengths, 1.0)
    return _closed(products / scale[:, None] / scale[None, :])


def cosines_of_bits(bits: npt.NDArray[np.uint8], k: int) -> Float64:
    """(n, n) from (n, k / 8) packed signs: an agreement p is an angle π · (1 − p)."""
    signs = 2.0 * np.unpackbits(bits, axis=1, count=k, bitorder="little") - 1.0
    agreement = (signs @ signs.T / k + 1) / 2
    return _closed(np.cos(np.pi * (1 - agreement)))


def _closed(values: Float64) -> Float64:
    """Symmetric to the last bit, within [−1, 1], diagonal 1."""
    out = np.clip((values + values.T) / 2, -1.0, 1.0)
    np.fill_diagonal(out, 1.0)
    return np.asarray(out, np.float64)


def deviation(rho: float, k: int, m: int) -> float:
    """Standard deviation of an estimated cosine whose true value is `rho`."""
    return (1 - rho * rho) * math.sqrt(1 / k + 1 / m)


def k_for(within: float, between: float, clients: int, groups: int, alpha: float = 0.05) -> int:
    """The k at which average linkage places all clients rightly, but for a chance of `alpha`.

    4 z² / Δ · (1 + (1 − within) / (s Δ)) with Δ = within − between, s = clients / groups, and z the upper quantile of
    N(0, 1) at alpha / (clients · (groups − 1)): a client's sketch is nearer to its own group's mean than to another's.

    within, between  mean cosine of two clients of one group, and of two groups
    """
    gap = _gap(within, between)
    if groups < 2 or clients < groups:
        raise UserError(f"k asks for 2 ≤ groups ≤ clients, got {groups} of {clients}", key="k")
    z = -NormalDist().inv_cdf(alpha / (clients * (groups - 1)))
    return math.ceil(4 * z * z / gap * (1 + (1 - within) * groups / (clients * gap)))


def k_for_pairs(within: float, between: float, clients: int, alpha: float = 0.05) -> int:
    """The k at which every pair falls on its own side of the middle: enough for any linkage, and far more than `k_for`.

    (2 z / (atanh within − atanh between))², z at alpha over the number of pairs (Fisher's transform, union bound).
    """
    _gap(within, between)
    if clients < 2:
        raise UserError(f"k asks for at least two clients, got {clients}", key="k")
    if within == 1:
        return 1
    z = -NormalDist().inv_cdf(2 * alpha / (clients * (clients - 1)))
    return math.ceil((2 * z / (math.atanh(within) - math.atanh(between))) ** 2)


def _gap(within: float, between: float) -> float:
    if not -1 < between < within <= 1:
        raise UserError(
            f"k asks for −1 < between < within ≤ 1, got a mean cosine of {within:.3g} within groups and {between:.3g} "
            "between them: there is nothing to tell apart",
            key="k",
        )
    return within - between
