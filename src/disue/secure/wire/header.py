"""The 64 bytes in front of every message, and the cursor with which bodies are read.

offset  size  field                              offset  size  field
0       4     magic "DSUE"                       20      4     sender: roster index; 0xFFFFFFFF = server
4       1     version = 1                        24      4     body length
5       1     type                               28      2     sum id, 0xFFFF where there is none
6       2     flags = 0                          30      2     pass, 0xFFFF where there is none
8       8     round                              32      32    context hash
16      4     attempt                                          all integers little-endian
"""

from __future__ import annotations

import itertools
import math
import struct
from dataclasses import dataclass

from disue.secure.wire.names import Malformed

MAGIC = b"DSUE"
VERSION = 1
SIZE = 64
SERVER = 0xFFFFFFFF
NO_SUM = 0xFFFF
NO_PASS = 0xFFFF
ZERO = bytes(32)
MOST = 1 << 16  # entries of a list, clients of a round: what is read takes a few times the space of its bytes

PACK = struct.Struct("<4sBBHQIIIHH32s")


@dataclass(frozen=True)
class Header:
    """What stands in front of a body.

    context  the hash that the message belongs to: of the roster, the round, its keys, or one pass of one sum
    sum      position of the group in GROUPS, where the message is about one sum
    """

    type: int
    round: int
    attempt: int
    sender: int
    context: bytes
    sum: int = NO_SUM
    pass_: int = NO_PASS

    def pack(self, length: int) -> bytes:
        return PACK.pack(
            MAGIC,
            VERSION,
            self.type,
            0,
            self.round,
            self.attempt,
            self.sender,
            length,
            self.sum,
            self.pass_,
            self.context,
        )


class Reader:
    """Takes fields from a body in order; what is missing is `Malformed` with the field's name."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def view(self, size: int, field: str) -> memoryview:
        if size > self.left:
            raise Malformed(field)
        self.at += size
        return self.data[self.at - size : self.at]

    def take(self, size: int, field: str) -> bytes:
        return bytes(self.view(size, field))

    def integer(self, size: int, field: str) -> int:
        return int.from_bytes(self.view(size, field), "little")

    def u8(self, field: str) -> int:
        return self.integer(1, field)

    def u16(self, field: str) -> int:
        return self.integer(2, field)

    def u32(self, field: str) -> int:
        return self.integer(4, field)

    def u64(self, field: str) -> int:
        return self.integer(8, field)

    def i16(self, field: str) -> int:
        return int.from_bytes(self.view(2, field), "little", signed=True)

    def f64(self, field: str) -> float:
        """A positive number or infinity: zero, negative numbers and NaN are no value of any field."""
        value = float(struct.unpack("<d", self.view(8, field))[0])
        if math.isnan(value) or value <= 0:
            raise Malformed(field)
        return value

    def count(self, size: int, field: str, most: int = MOST) -> int:
        """A list's length, which must fit into what is left at `size` bytes an entry."""
        count = self.u32(field)
        if count > most or count * size > self.left:
            raise Malformed(field)
        return count

    def increasing(self, field: str, most: int = MOST) -> tuple[int, ...]:
        """A counted list of strictly increasing u32."""
        count = self.count(4, field, most)
        values = struct.unpack(f"<{count}I", self.view(4 * count, field))
        if any(a >= b for a, b in itertools.pairwise(values)):
            raise Malformed(field)
        return values

    def end(self) -> None:
        if self.left:
            raise Malformed("end of body")


def listed(values: tuple[int, ...]) -> bytes:
    """A counted list of u32."""
    return struct.pack(f"<I{len(values)}I", len(values), *values)
