"""Rows of bytes in files, one file per length of a row: what a client remembers takes one row."""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np

from disue.core.checks import Array
from disue.core.errors import UserError

ALIGN = 16  # bytes: where each array of a row begins, so that it can be used as it was read
Place: TypeAlias = tuple[int, int]  # (bytes of a row, number of the row in that file)


@dataclass(frozen=True)
class Form:
    """What a memory is made of: (name, dtype, shape) of each array, by name."""

    arrays: tuple[tuple[str, str, tuple[int, ...]], ...]

    @staticmethod
    def of(memory: Mapping[str, Array]) -> Form:
        for name, value in memory.items():
            if value.dtype.kind not in "biufc":
                raise UserError(
                    f'memory: "{name}" is of {value.dtype}; a client remembers arrays of numbers only', key="memory"
                )
        return Form(tuple((name, value.dtype.str, value.shape) for name, value in sorted(memory.items())))

    @staticmethod
    def read(found: Iterable[Sequence[object]]) -> Form:
        """A form as an index file has it (lists instead of tuples)."""
        arrays = []
        for name, dtype, shape in found:
            assert isinstance(shape, list)
            arrays.append((str(name), np.dtype(str(dtype)).str, tuple(int(n) for n in shape)))
        return Form(tuple(arrays))

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """Where each array lies in the row, in bytes."""
        out, at = [], 0
        for _, dtype, shape in self.arrays:
            size = np.dtype(dtype).itemsize * math.prod(shape)
            out.append(slice(at, at + size))
            at += -(-size // ALIGN) * ALIGN
        return tuple(out)

    @cached_property
    def bytes(self) -> int:
        """Of the arrays themselves."""
        return sum(span.stop - span.start for span in self.spans)

    @cached_property
    def size(self) -> int:
        """Bytes of a row; an array without entries takes none, a row at least `ALIGN`."""
        return max(-(-self.spans[-1].stop // ALIGN) * ALIGN if self.spans else 0, ALIGN)

    def pack(self, memory: Mapping[str, Array]) -> Array:
        """(size,) of uint8."""
        out = np.zeros(self.size, np.uint8)
        for (name, dtype, shape), span in zip(self.arrays, self.spans, strict=True):
            out[span].view(dtype).reshape(shape)[...] = memory[name]
        return out

    def unpack(self, row: Array) -> dict[str, Array]:
        """The arrays, as views of the row."""
        return {
            name: row[span].view(dtype).reshape(shape)
            for (name, dtype, shape), span in zip(self.arrays, self.spans, strict=True)
        }


class Rows:
    """The row files of a folder. A row that a version may need is never written over: see `memory`.

    Rows are written and read by calls, not through a memory map: a full disk is then an error that can be
    said, where a map would end the process.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._free: dict[int, list[int]] = {}  # row length → free rows, the lowest first
        self._ends: dict[int, int] = {}  # row length → rows that the file has
        self._whole: dict[int, int] = {}  # row length → whole rows at first
        self._unsynced: set[int] = set()
        for path in folder.glob("rows-*.bin"):
            size = path.stem.removeprefix("rows-")
            if size.isdigit() and int(size):
                whole, cut = divmod(path.stat().st_size, int(size))
                self._whole[int(size)], self._ends[int(size)] = whole, whole + bool(cut)

    def path(self, size: int) -> Path:
        return self.folder / f"rows-{size}.bin"

    def others(self, used: Iterable[Place]) -> list[Place]:
        """Every row of the files but those in `used`."""
        known = set(used)
        return [(size, row) for size, end in self._ends.items() for row in range(end) if (size, row) not in known]

    def add(self, row: Array) -> Place:
        """Writes into a free row, and says where."""
        free = self._free.setdefault(row.size, [])
        at = heapq.heappop(free) if free else self._ends.get(row.size, 0)
        self._ends[row.size] = max(self._ends.get(row.size, 0), at + 1)
        try:
            self.write((row.size, at), row)
        except OSError:
            heapq.heappush(free, at)
            raise
        return row.size, at

    def write(self, place: Place, row: Array) -> None:
        size, at = place
        self._unsynced.add(size)
        path = self.path(size)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "x+b", buffering=0) as file:
            file.seek(size * at)
            rest = row.data
            while rest:
                rest = rest[file.write(rest) :]

    def read(self, place: Place) -> Array | None:
        """(size,) of uint8; None where the file ends before the row does."""
        size, at = place
        out = np.empty(size, np.uint8)
        with self.path(size).open("rb", buffering=0) as file:
            file.seek(size * at)
            rest = out.data
            while rest:
                done = file.readinto(rest)
                if not done:
                    return None
                rest = rest[done:]
        return out

    def has(self, place: Place) -> bool:
        """Whether the file held all of a row when it was looked at first."""
        return place[1] < self._whole.get(place[0], 0)

    def free(self, place: Place) -> None:
        heapq.heappush(self._free.setdefault(place[0], []), place[1])

    def tidy(self) -> None:
        """Deletes the files of which every row is free."""
        for size, free in list(self._free.items()):
            if free and len(free) == self._ends[size]:
                self.path(size).unlink(missing_ok=True)
                self._unsynced.discard(size)
                del self._free[size], self._ends[size]

    def sync(self) -> None:
        """Returns when what was written is on the disk."""
        for size in sorted(self._unsynced):
            with self.path(size).open("r+b") as file:
                os.fsync(file.fileno())
        self._unsynced.clear()
