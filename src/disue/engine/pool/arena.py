"""Arrays that several processes see: one file of memory, written once and mapped by all.

The file has no name once it is open (on Linux it is reached through its owner's table of open files), so
nothing is left behind whatever happens to the processes. Room is reserved before it is written, so that a
full shared memory is an error and not a bus fault.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from disue.core.checks import Array
from disue.core.errors import UserError

LEAST = 4096  # bytes: a smaller array goes with the message
ALIGN = 64
SHARED = Path("/dev/shm")


class Ref(NamedTuple):
    """Where an array lies in an arena."""

    arena: str
    at: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


class Arena:
    """`Arena("data")` owns a file; `Arena("data", path)` is another process's view of it."""

    def __init__(self, name: str, path: str = "") -> None:
        self.name, self._used, self._size, self._seen = name, 0, 0, dict[tuple[Any, ...], tuple[Ref, Array]]()
        self._map: mmap.mmap | None = None
        self._owner = not path
        self._fd = _unnamed() if self._owner else os.open(path, os.O_RDWR)

    @property
    def path(self) -> str:
        """What another process of this machine opens."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def reset(self) -> None:
        """Forgets what was put; views of it become meaningless."""
        self._used, self._seen = 0, {}

    def room(self, shape: tuple[int, ...], dtype: Any) -> Ref:
        """Reserves room for an array."""
        ref = Ref(self.name, self._used, tuple(shape), np.dtype(dtype).str)
        self._used += -(-ref.bytes // ALIGN) * ALIGN
        if self._used > self._size:
            self._grow(max(self._used, 2 * self._size, 2**20))
        return ref

    def put(self, value: Array) -> Ref:
        """Copies an array in, once for as long as the arena is not reset."""
        face = value.__array_interface__
        key = (face["data"][0], value.shape, value.strides, value.dtype.str)
        if key not in self._seen:
            ref = self.room(value.shape, value.dtype)
            self.view(ref)[...] = value
            self._seen[key] = ref, value  # held, so that its address is not given to another array
        return self._seen[key][0]

    def view(self, ref: Ref) -> Array:
        """The array itself, writable."""
        end = ref.at + ref.bytes
        if self._map is None or end > len(self._map):
            self._map = mmap.mmap(self._fd, os.fstat(self._fd).st_size)
        count = int(np.prod(ref.shape, dtype=np.int64))
        return np.frombuffer(self._map, np.dtype(ref.dtype), count, ref.at).reshape(ref.shape)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._map = -1, None

    def _grow(self, size: int) -> None:
        try:
            if sys.platform == "linux":
                os.posix_fallocate(self._fd, 0, size)
            else:
                os.ftruncate(self._fd, size)
        except OSError as error:
            raise UserError(
                f"engine.workers: no room for {size / 2**20:,.0f} MiB that the workers share ({error.strerror}); "
                "take engine.workers = 1",
                key="engine.workers",
            ) from error
        self._size, self._map = size, None


def _unnamed() -> int:
    """A new file without a name: in shared memory where there is some, else in the temporary folder."""
    folder = str(SHARED) if SHARED.is_dir() and os.access(SHARED, os.W_OK) and _free(SHARED) > 2**28 else None
    fd, path = tempfile.mkstemp(prefix="disue-", dir=folder)
    os.unlink(path)
    return fd


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


# -- messages: objects whose large arrays lie in an arena, and which name the run's network -------------------

NETWORK = "network"


class _Packer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, arena: Arena, names: Mapping[int, str]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._arena, self._names = arena, names

    def persistent_id(self, value: Any) -> str | None:
        return self._names.get(id(value))

    def reducer_override(self, value: Any) -> Any:
        if type(value) is np.ndarray and value.nbytes >= LEAST and value.dtype.kind in "biuf":
            return _shared, (self._arena.put(value),)
        return NotImplemented


def pack(value: object, arena: Arena, network: object = None) -> bytes:
    """A message; its large arrays are put into the arena, and `network` is only named."""
    file = io.BytesIO()
    _Packer(file, arena, {} if network is None else {id(network): NETWORK}).dump(value)
    return file.getvalue()


_views: Callable[[Ref], Array] | None = None


def _shared(ref: Ref) -> Array:
    assert _views is not None
    found = _views(ref)
    found.flags.writeable = False
    return found


class _Opener(pickle.Unpickler):
    network: object = None

    def persistent_load(self, name: Any) -> object:
        return self.network


def unpack(blob: bytes, arenas: Mapping[str, Arena], network: object = None) -> Any:
    """What `pack` packed, in a worker of the same run: nothing foreign is ever opened here."""
    global _views
    _views = lambda ref: arenas[ref.arena].view(ref)  # noqa: E731
    opener = _Opener(io.BytesIO(blob))
    opener.network = network
    return opener.load()
