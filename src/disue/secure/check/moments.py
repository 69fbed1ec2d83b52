"""7: how far are a released sum's class means from those of the member who has most of the class?

Sums go through the ring as in the protocol. In a group of one they are the client's own to the last step; in a lot the
mean of a class is off from that of the member who has most of it by about as much as clients differ.
"""

from __future__ import annotations

import numpy as np

from disue.core.checks import Float64, IntMatrix, Mask
from disue.core.lots import Lots
from disue.core.streams import Streams
from disue.secure.check.histograms import dirichlet_counts
from disue.secure.check.row import Row
from disue.secure.wire.ring import decode, encode

CLIENTS, CLASSES, FEATURES = 100, 10, 16
BITS, BOUND = 24, 2.0**20
SPREAD = 0.5  # standard deviation of a feature's class mean between clients
MIN_CLASS = 3


def moments(streams: Streams, quick: bool = False) -> list[Row]:
    lots_of = {size: _error(streams, size, 2 if quick else 10) for size in (1, 3, 10)}
    step = CLIENTS * 2.0**-BITS
    return [
        Row("7", f"class mean of a member from a sum over {size}: off by, in spreads between clients", lots_of[size],
            f"> {least}", lots_of[size] > least, "group of one", lots_of[1], f"< {step:.0e}", lots_of[1] < step)
        for size, least in ((3, 0.1), (10, 0.3))
    ]  # fmt: skip


def _lots(streams: Streams, repeat: int, size: int) -> Lots:
    return Lots.cut(np.arange(CLIENTS, dtype=np.int64), size, Streams(streams.key("moments", repeat)))


def _summed(rows: Float64, bits: int) -> Float64:
    """Over the first axis, through the ring."""
    total = np.zeros(rows[0].size, np.uint64)
    for row in rows:
        total += encode(row.ravel(), bits, BOUND, "moments")
    return decode(total, bits).reshape(rows.shape[1:])


def _released(counts: IntMatrix, sums: Float64, members: Mask, floor: int) -> tuple[Float64, Float64]:
    """(classes,) counts and (classes, features) sums over the members, two passes."""
    contributors = _summed((counts[members] > 0).astype(np.float64), 0)
    keep = contributors >= floor
    return _summed((counts[members] * keep).astype(np.float64), 0), _summed(sums[members] * keep[:, None], BITS)


def _error(streams: Streams, size: int, repeats: int) -> float:
    """Median distance of a lot's class mean from that of the member with most samples of the class."""
    off = []
    for repeat in range(repeats):
        rng = streams("moments", repeat)
        counts = dirichlet_counts(rng, CLIENTS, CLASSES, 500, 0.1)
        own = rng.normal(size=(1, CLASSES, FEATURES)) + SPREAD * rng.normal(size=(CLIENTS, CLASSES, FEATURES))
        sums = own * counts[:, :, None]
        lots = _lots(streams, repeat, size)
        for lot in range(lots.count):
            members = lots.of == lot
            n, total = _released(counts, sums, members, MIN_CLASS if size >= MIN_CLASS else 0)
            for label in np.flatnonzero(n):
                most = np.flatnonzero(members)[counts[members, label].argmax()]
                off.append(float(np.sqrt(np.mean((total[label] / n[label] - own[most, label]) ** 2))))
    return float(np.median(off)) / SPREAD
