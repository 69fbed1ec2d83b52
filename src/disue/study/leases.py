"""Leases: which process works on which run of a study, in files that any number of machines share.

The n-th lease of a run is the file `.leases/RUN.n` of the study's folder. Whoever takes the run makes the file, and of
many that make the same one succeeds (O_EXCL, on NFS too). Files are never replaced or deleted, so a number is given
once: a lease that has run out is taken over by making the next one, and whoever still has an old view of the folder
fails. It needs no locks and no clock that machines share:

- A holder renews by writing a count into his file, through the file that he opened: not into another's.
- Others take a lease as run out when they have seen the same text for the time that is written in it, by their own
  clock (`watch`), or when its process was of this machine and is gone.
- A holder who may have been away for that long (stopped, suspended, cut off) makes the next lease himself before he
  writes anything. If it is there already, the run is not his any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from disue.core.errors import UserError, unwritable

FOLDER = ".leases"
EXPIRES = 120.0  # seconds without a renewal
BEATS = 5  # renewals in that time
WIDTH = 400  # of a file, so that it is written over in place
LATE = "its process did not answer for longer than its lease, and another one has taken the run over"
HELD, LEFT, DONE, LOST = "held", "left", "done", "lost"  # what became of a lease


class Lost(UserError):
    """This process was away for longer than its lease, and another one has the run."""


@dataclass(frozen=True)
class Holder:
    """What a lease says. `kernel` is the system in which `pid` means something, `born` when that process began there.

    round, seconds  how far the run is, and what its last round took
    """

    host: str = ""
    pid: int = 0
    kernel: str = ""
    born: str = ""
    expires: float = EXPIRES
    state: str = HELD
    count: int = 0
    round: int = -1
    seconds: float = 0.0

    @staticmethod
    def here(expires: float) -> Holder:
        """This process."""
        pid = os.getpid()
        return Holder(socket.gethostname()[:100], pid, kernel(), born(pid), expires)

    @staticmethod
    def read(text: str, expires: float) -> Holder:
        """From a file; one that was just made or is half written has a holder of whom nothing is known."""
        try:
            return Holder(**json.loads(text))
        except (ValueError, TypeError):
            return Holder(expires=expires)

    @property
    def gone(self) -> bool:
        """Whether he is known to have ended: processes of other machines and containers can be seen only by waiting."""
        if not self.kernel or self.kernel != kernel():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return born(self.pid) not in ("", self.born)


def kernel() -> str:
    """This boot of this machine and its space of process numbers; "" where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + " " + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def born(pid: int) -> str:
    """When a process of this machine began, in the kernel's ticks; "ended" of a zombie, "" where it cannot be seen."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "ended" if words[0] in "ZX" else words[19]


def clock() -> float:
    """Seconds that go on while the machine is suspended, where the system counts them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """A run in the hands of this process; a thread renews it until `release`."""

    def __init__(self, folder: Path, run: str, number: int, file: int, holder: Holder, since: float) -> None:
        self._folder, self._run, self._number, self._file = folder, run, number, file
        self._holder, self._renewed, self._lost = holder, since, False
        self._lock, self._end = threading.Lock(), threading.Event()
        self._write()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    @staticmethod
    def take(folder: Path, run: str, after: int, expires: float = EXPIRES) -> Lease | None:
        """The lease that follows number `after`, 0 where there is none yet; None where another process has it."""
        since = clock()
        file = _make(folder, run, after + 1)
        return None if file is None else Lease(folder, run, after + 1, file, Holder.here(expires), since)

    @property
    def name(self) -> str:
        return f"{self._run}.{self._number}"

    def check(self) -> None:
        """Raises `Lost` where another process may have the run; else nobody takes it before this one's time is up."""
        with self._lock:
            self._hold()
            if (self._folder / f"{self._run}.{self._number + 1}").exists():
                self._lose()

    @property
    def lost(self) -> bool:
        try:
            self.check()
        except Lost:
            return True
        return False

    def tell(self, round: int, seconds: float) -> None:
        """How far the run is; others read it with the next renewal."""
        with self._lock:
            self._holder = replace(self._holder, round=round, seconds=seconds)

    def release(self, state: str = LEFT) -> None:
        """Others may take the run from now on, unless it is `DONE`."""
        self._end.set()
        self._thread.join()
        with self._lock, contextlib.suppress(UserError):  # it then runs out by itself
            self._holder = replace(self._holder, state=LOST if self._lost else state)
            self._write()
        os.close(self._file)

    def _beat(self) -> None:
        while not self._end.wait(self._holder.expires / BEATS):
            with self._lock:
                try:
                    self._hold()
                    now = clock()
                    self._write()
                    self._renewed = now
                except Lost:
                    return
                except UserError:  # cannot be written: the clock decides how long that may go on
                    continue

    def _hold(self) -> None:
        """Where the time is up, the next lease is the only proof that nobody else has it."""
        if self._lost:
            self._lose()
        now = clock()
        if now - self._renewed < self._holder.expires:
            return
        file = _make(self._folder, self._run, self._number + 1)
        if file is None:
            self._lose()
        else:
            held, self._holder = self._holder, replace(self._holder, state=LEFT)
            with contextlib.suppress(UserError):  # for who reads it later; the last number is the one that counts
                self._write()
            self._holder = held
            os.close(self._file)
            self._file, self._number, self._renewed = file, self._number + 1, now
            self._write()

    def _lose(self) -> None:
        self._lost = True
        raise Lost(LATE, key="lease")

    def _write(self) -> None:
        self._holder = replace(self._holder, count=self._holder.count + 1)
        text: dict[str, Any] = asdict(self._holder) | {"seconds": round(self._holder.seconds, 3)}
        try:
            os.lseek(self._file, 0, os.SEEK_SET)
            os.write(self._file, json.dumps(text).ljust(WIDTH).encode() + b"\n")
            os.fsync(self._file)
        except OSError as error:
            raise unwritable(self._folder / self.name, error) from error


def _make(folder: Path, run: str, number: int) -> int | None:
    """The open file of a lease that nobody had made; None where it is there."""
    path = folder / f"{run}.{number}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return None
    except OSError as error:
        raise unwritable(path, error) from error
