"""Masks: the key stream of AES-256 in counter mode, added modulo 2^64; and who masks with whom.

Of two partners the one with the lower roster index adds the pair's stream, the other one subtracts it. A key serves
one stream only, so the counter starts at zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from disue.secure.wire.ring import Ring
from disue.secure.wire.stream import words

BLOCK = 1 << 14  # integers at a time: 128 KiB of stream, which is added before it leaves the cache


def add(into: Ring, key: bytes, *, sign: int = 1) -> None:
    """`into` ± the stream of `key`, in place, from its first integer on."""
    if sign not in (1, -1):
        raise ValueError(f"sign: 1 or -1, got {sign}")
    operation = np.add if sign == 1 else np.subtract
    start = 0
    for block in words(key, into.size, np.dtype("<u8"), BLOCK):
        part = into[start : start + block.size]
        operation(part, block, out=part)
        start += block.size


def cover(into: Ring, me: int, own: bytes, pairs: Mapping[int, bytes]) -> None:
    """The masks of one client onto its vector, in place: its self mask, and one per partner (roster index → key)."""
    add(into, own)
    for other, key in pairs.items():
        add(into, key, sign=sign(me, other))


def sign(me: int, other: int) -> int:
    """With which sign `me` adds the stream that it shares with `other`."""
    return 1 if me < other else -1


def partners(order: Sequence[int], me: int, degree: int = 64) -> tuple[int, ...]:
    """With whom `me` shares masks, ascending: everybody up to `degree` members, else its neighbours on a ring.

    order   all members (roster indices) in an order that nobody can choose
    degree  even; half of them before and half behind on the ring
    """
    if degree < 2 or degree % 2:
        raise ValueError(f"degree: an even number ≥ 2, got {degree}")
    if len(order) <= degree:
        return tuple(sorted(other for other in order if other != me))
    at = list(order).index(me)
    near = range(1, degree // 2 + 1)
    return tuple(sorted({order[(at + step * side) % len(order)] for step in near for side in (1, -1)}))
