"""Standard normal numbers from two key streams, exact up to float64: the matrix of the sketch.

A ziggurat of 256 layers (Marsaglia and Tsang 2000). This is the format, so that all clients have the same matrix:

- A matrix is filled row by row in blocks of 32,768 draws, the last one shorter. A draw is one 64-bit word of the
  stream "gaussian": bits 0–7 the layer, bit 8 the sign, bits 11–63 a uniform u of 53 bits; x = u · edge(layer).
- x below the next layer's edge is taken; 1.5 % are not. These draw from the stream "gaussian-extra", block by block:
  first each in order four words a, b, c, d; then, draw after draw, those of layer 0 two words per trial.
- In layers 1 … 255, x is taken if it lies below the density (uniform a); else the draw is √(−2 ln(1 − b)) · cos 2πc.
  Any exact normal will do here, as a rejected draw is simply drawn anew; d is spare.
- In layer 0, beyond the edge R: Marsaglia's tail, R + s with s = −ln(1 − e) / R until −2 ln(1 − f) > s².
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from disue.core.checks import Float64
from disue.secure.wire.stream import Stream

LAYERS = 256
R = 3.6541528853610088  # the edge at which 256 layers of one area close
BLOCK = 1 << 15
UNIT = 2.0**-53

Words = npt.NDArray[np.uint64]


def gaussian(key: bytes, extra: bytes, rows: int, columns: int) -> Float64:
    """(rows, columns) independent N(0, 1) numbers from two keys of 32 bytes."""
    out = np.empty(rows * columns)
    start = 0
    for block in blocks(key, extra, out.size):
        out[start : start + block.size] = block
        start += block.size
    return out.reshape(rows, columns)


def blocks(key: bytes, extra: bytes, count: int) -> Iterator[Float64]:
    """The first `count` draws, `BLOCK` at a time; each array stands until the next is asked for."""
    words, more = Stream(key, "<u8", BLOCK), Stream(extra, "<u8", 4 * BLOCK)
    out, edge, layer = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK, np.int64)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        yield fill(words.take(size), more, out[:size], edge[:size], layer[:size])


def fill(words: Words, more: Stream, out: Float64, edge: Float64, layer: npt.NDArray[np.int64]) -> Float64:
    """The draws of one block of words, in `out`; `edge` and `layer` are scratch of the same size."""
    edges = tables()[0]
    np.bitwise_and(words.view(np.int64), LAYERS - 1, out=layer)
    np.take(edges, layer, out=edge, mode="clip")
    np.multiply((words >> np.uint64(11)).view(np.int64), edge, out=out)
    np.multiply(out, UNIT, out=out)
    np.take(edges[1:], layer, out=edge, mode="clip")
    failed = np.flatnonzero(out >= edge)
    out.view(np.uint64)[:] |= (words & np.uint64(LAYERS)) << np.uint64(55)
    if failed.size:
        finish(out, failed, layer[failed], more)
    return out


def finish(out: Float64, failed: npt.NDArray[np.intp], layer: npt.NDArray[np.int64], more: Stream) -> None:
    """The draws that failed the fast test: wedge, else a fresh normal; beyond R the tail."""
    heights = tables()[1]
    words = more.take(4 * failed.size).reshape(-1, 4)
    a, b, c = ((words[:, at] >> np.uint64(11)) * UNIT for at in range(3))
    x = out[failed]
    under = heights[layer] + a * (heights[layer + 1] - heights[layer]) < np.exp(-0.5 * x * x)
    fresh = np.sqrt(-2 * np.log1p(-b)) * np.cos(2 * math.pi * c)
    out[failed] = np.where(under, x, fresh)
    for at in failed[layer == 0]:
        out[at] = math.copysign(tail(more), x[np.searchsorted(failed, at)])


def tail(more: Stream) -> float:
    """A positive normal number beyond R."""
    while True:
        one, two = (float(word >> np.uint64(11)) * UNIT for word in more.take(2))
        beyond = -math.log1p(-one) / R
        if -2 * math.log1p(-two) > beyond * beyond:
            return R + beyond


@lru_cache(maxsize=1)
def tables() -> tuple[Float64, Float64]:
    """(257,) edges, from that of layer 0 (its area as a rectangle) down to zero; (257,) the density at them, from zero.

    Layer i lies between the heights i and i + 1 and reaches to edge i; all have the area of layer 0, which is the
    rectangle up to R and the tail beyond it.
    """
    area = R * math.exp(-0.5 * R * R) + math.sqrt(math.pi / 2) * math.erfc(R / math.sqrt(2))
    edges, heights = [area / math.exp(-0.5 * R * R), R], [0.0, math.exp(-0.5 * R * R)]
    for _ in range(LAYERS - 2):
        heights.append(heights[-1] + area / edges[-1])
        edges.append(math.sqrt(-2 * math.log(heights[-1])))
    return np.array([*edges, 0.0]), np.array([*heights, 1.0])
