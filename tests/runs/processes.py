"""`disue` in a process of its own, and what becomes of it and its workers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


def start(*words: object, tmp: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    """A command in a process group of its own; `tmp` is its temporary folder."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment} | ({} if tmp is None else {"TMPDIR": str(tmp)})
    return subprocess.Popen(
        [sys.executable, "-m", "disue", *map(str, words)],
        env=env,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def rounds_done(out: Path) -> int:
    """The last round in rounds.csv; −1 before there is one."""
    try:
        return len((out / "rounds.csv").read_text().splitlines()) - 2
    except FileNotFoundError:
        return -1


def until(process: subprocess.Popen[str], out: Path, round: int) -> None:
    """Waits for a round."""
    while process.poll() is None and rounds_done(out) < round:
        time.sleep(0.002)
    assert process.poll() is None, process.communicate()[1]


def children(pid: int) -> list[int]:
    """All processes below one, the nearest first."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        below = [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except OSError:
        return []
    return below + [one for child in below for one in children(child)]


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


def state(out: Path) -> bytes:
    """The last state of a finished run."""
    (found,) = (out / "checkpoint").glob("round-*.safetensors")
    return found.read_bytes()
