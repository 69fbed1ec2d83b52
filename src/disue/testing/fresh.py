"""The same rounds in other processes, whose hash seeds differ: two children for all methods of a session.

A child imports what the method is made of and plays it; the states come back whole, so that a difference can be named.
"""

from __future__ import annotations

import atexit
import os
import pickle
import struct
import subprocess
import sys
import traceback
from contextlib import suppress
from typing import IO, Any

from disue.testing.play import Seen, trace
from disue.testing.subject import Subject

HASH_SEEDS = ("1", "2")
PROGRAM = "from disue.testing.fresh import serve; serve()"
_children: dict[str, _Child] = {}


class _Child:
    """A process that plays what it is sent. What travels is made by this process and its own children only."""

    def __init__(self, hash_seed: str) -> None:
        ways = os.pathsep.join(way or os.getcwd() for way in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONPATH": ways, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def play(self, blob: bytes) -> list[Seen]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            _send(self._process.stdin, blob)
            done, found = pickle.loads(_receive(self._process.stdout))
        except (OSError, EOFError) as error:
            self.close()
            raise AssertionError("another process died while it played the rounds") from error
        if not done:
            raise AssertionError(f"another process could not play the rounds: {found}")
        seen: list[Seen] = found
        return seen

    def close(self) -> None:
        """Its input ends, and so does it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def elsewhere(subject: Subject, backend: str) -> list[list[Seen]]:
    """The method's rounds in each of the other processes."""
    try:
        blob = pickle.dumps((_plain(subject), backend))
    except Exception as error:  # whatever a class of another's refuses with
        raise AssertionError(
            f"it cannot be sent to another process ({error}); its classes must stand at the top of a module"
        ) from error
    return [_child(seed).play(blob) for seed in HASH_SEEDS]


def _plain(subject: Subject) -> tuple[Any, ...]:
    """What a child needs: the value and the scenario."""
    return subject.name, subject.method, subject.scenario


def _child(seed: str) -> _Child:
    found = _children.get(seed)
    if found is None or not found.alive:
        found = _children[seed] = _Child(seed)
    return found


@atexit.register
def close() -> None:
    """Ends the children."""
    while _children:
        _children.popitem()[1].close()


def serve() -> None:
    """The child's side: reads what to play until the input ends. What others print goes to the error stream."""
    from disue.runs.threads import one_thread

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with one_thread():
        while True:
            try:
                blob = _receive(sys.stdin.buffer)
            except EOFError:
                return
            try:
                (name, method, scenario), backend = pickle.loads(blob)
                reply = pickle.dumps((True, trace(Subject(name, method, scenario), backend=backend)))
            except Exception as error:  # the parent says it; this process goes on with the next
                reply = pickle.dumps((False, traceback.format_exception_only(error)[-1].strip()))
            _send(answers, reply)


def _send(pipe: IO[bytes], blob: bytes) -> None:
    pipe.write(struct.pack("<Q", len(blob)) + blob)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    head = pipe.read(8)
    if len(head) < 8:
        raise EOFError
    return pipe.read(struct.unpack("<Q", head)[0])
