"""The memory of a program and everything that it starts, as the system counts it.

The proportional set size (PSS) of all processes that carry a mark in their environment: whoever a marked process
starts inherits the mark, so workers, actors and servers that run on their own are found as well. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path

MARK = "DISUE_BENCHMARK"
PROC = Path("/proc")


def marked(value: str) -> list[int]:
    """The processes that run under this value of the mark."""
    wanted, out = f"{MARK}={value}".encode(), []
    for entry in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                out.append(int(entry.name))
    return out


def pss(process: int) -> int:
    """Bytes; 0 for a process that has ended."""
    with contextlib.suppress(OSError, StopIteration):
        lines = (PROC / str(process) / "smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return 0


class Watch:
    """`with Watch(value) as watch:` samples until the end; then `peak` (bytes) and `processes` (most at once) stand."""

    def __init__(self, value: str, every: float = 0.25) -> None:
        self.value, self.every, self.peak, self.processes = value, every, 0, 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._done.wait(self.every):
            found = [size for size in map(pss, marked(self.value)) if size]
            self.peak, self.processes = max(self.peak, sum(found)), max(self.processes, len(found))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        for process in marked(self.value):  # what the program has left behind
            if process != os.getpid():
                with contextlib.suppress(OSError):
                    os.kill(process, signal.SIGTERM)
