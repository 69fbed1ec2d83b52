"""The sketch of an update: CountSketch, to unit length, a Gaussian matrix, a grid of 16-bit integers.

The rows of the Gaussian matrix are independent and it is drawn anew each round, so what is sent depends on the updates
of all clients only through their cosines (after the CountSketch). That needs exactly Gaussian entries; signs ±1 tell
spiky updates apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from disue.core.checks import Float64, Vector
from disue.secure.client import normals
from disue.secure.wire.names import NonFinite, ZeroUpdate
from disue.secure.wire.stream import words

STEP = 4096  # grid steps per standard deviation
LIMIT = 32767
BLOCK = 1 << 16  # coordinates counted at a time
HELD = 1 << 24  # entries of the Gaussian matrix (128 MiB) up to which it is kept for the next client


def count_sketch(update: Vector, key: bytes, m: int) -> Float64:
    """(m,) signed sums of the coordinates that fall into each bucket, float64; m a power of two.

    Coordinate j has the 32-bit word w_j of the key's stream: bucket w_j mod m, minus where bit log2(m) is set. Blocks
    of 2^16 coordinates are summed one after the other.
    """
    if m < 1 or m & (m - 1) or m > 1 << 31:
        raise ValueError(f"m: a power of two up to 2^31, got {m}")
    both = np.zeros(2 * m)
    start = 0
    with np.errstate(invalid="ignore", over="ignore"):
        for block in words(key, update.size, "<u4", BLOCK):
            part = update[start : start + block.size]
            both += np.bincount((block & np.uint32(2 * m - 1)).astype(np.intp), weights=part, minlength=2 * m)
            start += block.size
        return np.asarray(both[:m] - both[m:], np.float64)


@dataclass(frozen=True)
class Streams:
    """The keys (32 bytes) of the streams of one slice in one round."""

    countsketch: bytes
    gaussian: bytes
    extra: bytes


class Sketcher:
    """Sketches under one seed. The Gaussian matrix is made once, so that a simulated cohort shares it.

    k  numbers of a sketch        m  buckets before it, a power of two
    """

    def __init__(self, streams: Streams, k: int, m: int) -> None:
        self.streams, self.k, self.m = streams, k, m
        self._held: list[Float64] = []

    def sketch(self, update: Vector) -> npt.NDArray[np.int16]:
        """(k,) int16 on the grid of 1/4096, standard normal each; `ZeroUpdate` and `NonFinite` where it has none."""
        grid = np.clip(np.rint(STEP * self.project(self.direction(update))), -LIMIT, LIMIT)
        return grid.astype(np.int16)

    def bits(self, update: Vector) -> npt.NDArray[np.uint8]:
        """(k / 8,) the signs alone, a set bit for ≥ 0, the lowest bit first; k a multiple of 8."""
        if self.k % 8:
            raise ValueError(f"k: a multiple of 8 for bits, got {self.k}")
        return np.packbits(self.project(self.direction(update)) >= 0, bitorder="little")

    def direction(self, update: Vector) -> Float64:
        """(m,) the CountSketch, of unit length."""
        counted = count_sketch(update, self.streams.countsketch, self.m)
        largest = float(np.abs(counted).max())
        if not np.isfinite(largest):
            raise NonFinite()
        if largest == 0:
            raise ZeroUpdate()
        counted /= largest  # so that no square under- or overflows
        return np.asarray(counted / np.linalg.norm(counted), np.float64)

    def project(self, direction: Float64) -> Float64:
        """(k,) the Gaussian matrix times a direction, always by the same rows at a time: one client's bits repeat."""
        return np.concatenate([rows @ direction for rows in self._rows()])

    def _rows(self) -> Iterator[Float64]:
        """The matrix, a few rows at a time."""
        if self._held:
            yield from self._held
            return
        keep = self.k * self.m <= HELD
        held = []
        for rows in self._made():
            if keep:
                held.append(rows)
            yield rows
        self._held = held

    def _made(self) -> Iterator[Float64]:
        """Whole rows as they come from the stream's blocks: several of a block, or one of several blocks."""
        count = max(1, normals.BLOCK // self.m)
        parts: list[Float64] = []
        size = 0
        for block in normals.blocks(self.streams.gaussian, self.streams.extra, self.k * self.m):
            parts.append(block.copy())
            size += block.size
            if size >= min(self.m * count, self.k * self.m):
                yield np.concatenate(parts).reshape(-1, self.m)
                parts, size = [], 0
        if parts:
            yield np.concatenate(parts).reshape(-1, self.m)
