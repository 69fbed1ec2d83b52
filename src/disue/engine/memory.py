"""The clients' private memories: one store for a simulation, in versions that a checkpoint names."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from disue.core.checks import Array, frozen
from disue.core.clients import Memory
from disue.core.errors import UserError, unwritable
from disue.engine import index
from disue.engine.index import Journal, Where
from disue.engine.rows import Form, Place, Rows

MIB = 2**20
BUDGET = 1024 * MIB


class MemoryStore:
    """id → named arrays. What is put is copied; what is got is read-only.

    budget  bytes of memories held in RAM. Where they would pass it, all of them move to the disk for good
    folder  where they then lie: that of the versions. None: a temporary folder, deleted with the store
    check   called before a memory is written there; what it raises leaves the folder as it is
    note    the sentence that says so, for the run's log; "" as long as they are in RAM

    On disk a memory is a row of a file (`rows`), and a version is a table client → row (`index`). A new
    memory takes a free row; the old one stays until `drop(folder, keep)` says that no checkpoint names a
    version with it. `save(folder, version)` writes what changed, the checkpoint then names the version. So
    a run that is killed at any moment finds the memories of exactly the round of its checkpoint. Bits and
    files are the same whether the memories are held in RAM or not.
    """

    def __init__(
        self, budget: int = BUDGET, folder: Path | None = None, check: Callable[[], object] | None = None
    ) -> None:
        self.budget, self.note = int(budget), ""
        self._check = check
        self._given = folder
        self._held: dict[int, dict[str, Array]] | None = {}  # None: all on disk
        self._bytes = 0
        self._where: Where = {}
        self._changed: set[int] = set()  # since the last version
        self._fresh: set[Place] = set()  # rows that no version has: they may be written over
        self._left: list[Place] = []  # rows that the last version has and the next will not
        self._needed: list[tuple[int, Place]] = []  # rows that versions before this one have
        self._journal = Journal()
        self._rows: Rows | None = None
        self._clear: Callable[[], object] | None = None  # deletes the temporary folder

    @property
    def ids(self) -> list[int]:
        """Clients that have a memory, ascending."""
        return sorted(self._where if self._held is None else self._held)

    @property
    def on_disk(self) -> bool:
        return self._held is None

    def get(self, client: int) -> Memory:
        client = int(client)
        if self._held is not None:
            return {name: frozen(value) for name, value in self._held.get(client, {}).items()}
        if client not in self._where:
            return {}
        return {name: frozen(value) for name, value in self._read(client).items()}

    def put(self, client: int, memory: Memory) -> None:
        """Replaces a client's memory; an empty one is forgotten."""
        client = int(client)
        mine = {name: np.asarray(memory[name]) for name in sorted(memory)}
        form = Form.of(mine)
        if self._held is not None:
            more = sum(value.nbytes for value in mine.values())
            more -= sum(value.nbytes for value in self._held.get(client, {}).values())
            if self._bytes + more > self.budget:
                self._move()
            else:
                self._changed.add(client)
                self._bytes += more
                self._held.pop(client, None)
                if mine:
                    self._held[client] = {name: np.array(value, order="C") for name, value in mine.items()}
                return
        self._changed.add(client)
        self._write(client, form, mine)

    # -- versions ----------------------------------------------------------------------------------

    def save(self, folder: Path, version: int) -> Path:
        """Writes the memories as they are now, as a version of this folder."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._settle(folder)
            assert self._rows is not None
            self._flush()
            self._rows.sync()
            if self._check is not None:  # that took its time
                self._check()
            self._journal = index.add(folder, self._journal, version, self._where, self._changed)
        except OSError as error:
            raise unwritable(folder, error) from error
        self._needed += [(version, place) for place in self._left]
        self._changed, self._fresh, self._left = set(), set(), []
        return index.file_of(folder, self._journal.base)

    def load(self, folder: Path, version: int) -> None:
        """Takes the memories of a version in place of those held."""
        if any(folder.glob("memory-*.safetensors")):
            raise UserError(
                f"{folder}: holds clients' memories as an earlier version of disue wrote them (format 1), which this "
                "one does not read; begin the run anew in another folder",
                key="checkpoint",
                found=str(folder),
            )
        where, journal = index.read(folder, version)
        rows = Rows(folder)
        for client, (_, place) in where.items():
            if not rows.has(place):
                raise index.damaged(rows.path(place[0]), f"lacks the memory of client {client}")
        self._where, self._journal, self._rows = where, journal, rows
        # what other versions may have: it is free as soon as only this one or later ones are kept
        self._needed = [(version, place) for place in rows.others(place for _, place in where.values())]
        self._changed, self._fresh, self._left = set(), set(), []
        self._bytes = sum(form.bytes for form, _ in where.values())
        self._held, self.note = None, ""
        if self._bytes <= self.budget:
            self._held = {client: self._read(client) for client in where}
        else:
            self.note = self._said()

    def drop(self, folder: Path, keep: Iterable[int]) -> None:
        """Frees what no version in `keep` needs: call it once their checkpoints are safe."""
        oldest = min(keep, default=None)
        if oldest is None:
            return
        index.drop(folder, oldest)
        if self._rows is not None and self._rows.folder == folder:
            for at, place in self._needed:
                if at <= oldest:
                    self._rows.free(place)
            self._needed = [(at, place) for at, place in self._needed if at > oldest]
            self._rows.tidy()

    # -- inside ------------------------------------------------------------------------------------

    def _move(self) -> None:
        """From RAM to the disk, once."""
        if self._rows is None and self._given is None:
            folder = Path(tempfile.mkdtemp(prefix="disue-memory-"))
            self._settle(folder)
            self._clear = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        elif self._rows is None and self._given is not None:
            self._settle(self._given)
        self._flush()
        self._held, self.note = None, self._said()

    def _said(self) -> str:
        where = "the run's folder" if self._clear is None else "a temporary folder"
        return f"the clients' memories need more than {self.budget / MIB:,.0f} MiB: they lie on the disk in {where}"

    def _settle(self, folder: Path) -> None:
        """Makes this folder the one of the rows; what lies there stays until `drop`."""
        if self._rows is not None and self._rows.folder == folder:
            return
        rows, where = Rows(folder), {}
        left, fresh = rows.others(()), set()
        if self._held is None and self._rows is not None:
            for client, (form, place) in self._where.items():
                row = self._rows.read(place)
                assert row is not None
                where[client] = form, rows.add(row)
                fresh.add(where[client][1])
        self._changed = set(self.ids)
        self._rows, self._where, self._journal = rows, where, Journal()
        self._left, self._needed, self._fresh = left, [], fresh
        if self._clear is not None:
            self._clear()
            self._clear = None

    def _flush(self) -> None:
        """Rows for what is in RAM only."""
        if self._held is None:
            return
        for client in sorted(self._changed):
            memory = self._held.get(client, {})
            self._write(client, Form.of(memory), memory)

    def _write(self, client: int, form: Form, memory: Memory) -> None:
        assert self._rows is not None
        if self._check is not None:
            self._check()
        try:
            if memory:
                self._put_row(client, form, form.pack(memory))
            elif client in self._where:
                self._leave(self._where.pop(client)[1])
        except OSError as error:
            raise unwritable(self._rows.folder, error) from error

    def _put_row(self, client: int, form: Form, row: Array) -> None:
        """The client's new row. Its old one stays where a version has it, and is written over where none has."""
        assert self._rows is not None
        old = self._where.get(client, (form, None))[1]
        if old is not None and old in self._fresh and old[0] == form.size:
            self._rows.write(old, row)
            self._where[client] = form, old
            return
        place = self._rows.add(row)
        self._fresh.add(place)
        self._where[client] = form, place
        if old is not None:
            self._leave(old)

    def _leave(self, place: Place) -> None:
        assert self._rows is not None
        if place in self._fresh:
            self._fresh.discard(place)
            self._rows.free(place)
        else:
            self._left.append(place)

    def _read(self, client: int) -> dict[str, Array]:
        assert self._rows is not None
        form, place = self._where[client]
        path = self._rows.path(place[0])
        try:
            row = self._rows.read(place)
        except OSError as error:
            raise index.damaged(path, f"cannot be read ({error.strerror})") from error
        if row is None:
            raise index.damaged(path, f"lacks the memory of client {client}")
        return form.unpack(row)


def foreseen(
    d: int, clients: int, vectors: int, spare: int = 0, *, budget: int = BUDGET, folder: Path | None = None
) -> str:
    """How large the memories can become, in one sentence; refuses what the disk cannot hold.

    vectors  numbers of vectors (d,) of float32 that a client keeps
    spare    clients asked between two checkpoints: their old memories stay until the second
    folder   of the versions. None: a run without a folder, which needs the disk beyond the budget only
    """
    size = 4 * d * vectors * clients
    most = size + 4 * d * vectors * min(spare, clients)
    many = f"{vectors} vector{'s' if vectors != 1 else ''} of {d:,} numbers"
    what = f"the clients' memories can take {_large(size)} ({clients:,} clients, {many} each)"
    if folder is None and size <= budget:
        return f"{what}: they stay in RAM"
    at = Path(tempfile.gettempdir()) if folder is None else folder
    there = at.resolve()
    while not there.exists():
        there = there.parent
    # what an earlier part of the run has written is not needed again
    left = shutil.disk_usage(there).free + sum(path.stat().st_size for path in at.glob("rows-*.bin"))
    if folder is None:
        most = size
    if most > left:
        raise UserError(
            f"{what}, and with the last checkpoint's {_large(most)}, but the disk of {at} has {_large(left)} left: "
            "take fewer clients, a smaller model, or another folder",
            key="out",
            found=most,
        )
    return f"{what}: {'they stay in RAM' if size <= budget else f'beyond {_large(budget)} they lie on the disk'}"


def _large(size: float) -> str:
    """Bytes, for people."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / MIB:,.1f} MiB"
