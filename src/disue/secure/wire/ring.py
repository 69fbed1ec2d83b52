"""Numbers as integers modulo 2^64, so that masked sums are exact: fixed point, two's complement.

x ↦ rint(x · 2^bits), ties to even. A client is off by at most half a step of 2^−bits; the sum adds nothing to that as
long as it does not wrap around, which `fits` decides before anything is sent.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, inf

import numpy as np
import numpy.typing as npt

from disue.core.checks import Float64
from disue.secure.wire.names import NonFinite, OutOfBound

Ring = npt.NDArray[np.uint64]
HALF = 2**63
BLOCK = 1 << 15  # numbers encoded at a time, so that what is in between stays in the cache


def encode(values: Float64, bits: int, bound: float, section: str) -> Ring:
    """(L,) integers modulo 2^64 of `values` (L,), each at most `bound` in size; nothing is clipped in silence.

    bits     scale: one is 2^bits; may be negative
    section  named by `NonFinite` and `OutOfBound`
    """
    values = np.ascontiguousarray(values, np.float64)
    out = np.empty(values.size, np.uint64)
    signed = out.view(np.int64)
    scaled = np.empty(min(BLOCK, values.size))
    for start in range(0, values.size, BLOCK):
        block = values[start : start + BLOCK]
        largest = max(float(block.max()), -float(block.min()))
        if not np.isfinite(largest):
            raise NonFinite(section)
        if largest > bound or not fits(1, largest, 1.0, bits):
            raise OutOfBound(section)
        step = np.ldexp(block, bits, out=scaled[: block.size])
        signed[start : start + block.size] = np.rint(step, out=step)
    return out


def decode(total: Ring, bits: int) -> Float64:
    """(L,) the numbers that a sum modulo 2^64 stands for, where `fits` held."""
    return np.ldexp(total.view(np.int64).astype(np.float64), -bits)


def fits(members: int, bound: float, weight: float, bits: int) -> bool:
    """Whether a sum of `members` numbers of size ≤ bound · weight cannot wrap around; in exact arithmetic."""
    if not (0 <= bound < inf and 0 <= weight < inf):
        return False
    one = Fraction(bound) * Fraction(weight) * Fraction(2) ** bits
    return members * ceil(one) < HALF
