"""Key streams: AES-256 in counter mode from a zero counter, as unsigned little-endian words, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY = 32


class Stream:
    """`take(count)`: the next words of a stream as an array that stands until the next call.

    largest  the most words that are taken at once
    """

    def __init__(self, key: bytes, kind: npt.DTypeLike, largest: int) -> None:
        if len(key) != KEY:
            raise ValueError(f"a stream's key has {KEY} bytes, got {len(key)}")
        self._kind = np.dtype(kind)
        self._cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
        self._zeros = bytes(largest * self._kind.itemsize)
        self._out = np.empty(len(self._zeros) + 15, np.uint8)  # the cipher asks for a block less one byte of room

    def take(self, count: int) -> npt.NDArray[Any]:
        size = count * self._kind.itemsize
        self._cipher.update_into(memoryview(self._zeros)[:size], self._out[: size + 15].data)
        return self._out[:size].view(self._kind)


def words(key: bytes, count: int, kind: npt.DTypeLike, block: int) -> Iterator[npt.NDArray[Any]]:
    """The first `count` words of a stream in blocks of `block`; each stands until the next is asked for."""
    stream = Stream(key, kind, min(block, max(count, 1)))
    for start in range(0, count, block):
        yield stream.take(min(block, count - start))
