"""The main process's side of the workers: who has which block, who died, what is run again."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from disue.core.clients import Context, Local
from disue.core.errors import UserError
from disue.core.world import Network
from disue.engine.chores import Chore, Training
from disue.engine.crew import Choice
from disue.engine.interface import Trained, Work
from disue.engine.pool.arena import Arena, pack
from disue.engine.pool.nursery import STATUS
from disue.engine.pool.worker import Setup

TRIES = 2  # a task whose worker died is run again once
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(eq=False)
class _Worker:
    door: Connection
    pid: int
    task: int = -1  # index of the task it works on


@dataclass(eq=False)
class Pool:
    """`count` workers that hold the clients' data and the network.

    They are started at once and set up with the first exchange. `notes` are sentences for the run's log.
    """

    count: int
    setup: Setup
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if sys.platform not in ("linux", "darwin") or not hasattr(socket, "send_fds"):
            raise UserError("engine.workers: more than one worker needs Linux; take 1", key="engine.workers")
        self._workers: list[_Worker] = []
        self._ended: dict[int, int] = {}
        self._door, there = socket.socketpair()
        env = {**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        self._nursery = subprocess.Popen(
            [sys.executable, "-c", f"from disue.engine.pool.nursery import main; main({there.fileno()})"],
            pass_fds=[there.fileno()],
            env=env,
            start_new_session=True,  # Ctrl-C does not reach it
            stdin=subprocess.DEVNULL,
        )
        there.close()
        self._data, self._round = Arena("data"), Arena("round")
        self._blob = b""
        self._home: dict[int, int] = {}  # a chore's first client → the process that did it last and has its data
        self._waiting = [self._hire() for _ in range(self.count)]

    @property
    def pids(self) -> list[int]:
        """The workers' processes."""
        self._gather()
        return [worker.pid for worker in self._workers]

    def train(
        self,
        work: Work,
        local: Local,
        contexts: Mapping[int, Context],
        blocks: Sequence[list[int]],
        choice: Choice,
    ) -> Iterator[Trained]:
        """Trains every block on whichever worker is free, in the order of the blocks."""
        self._gather()
        self._round.reset()
        kind = np.float64 if "64" in str(work.dtype) else np.float32
        chores = []
        for ids in blocks:
            rows = {i: self._rooms(contexts[i], kind) for i in ids}
            chores.append(Training(work, local, choice.backend, choice.block, {i: contexts[i] for i in ids}, rows))
        for at, said in self._done(chores, work.network, work.round):
            for client, steps, loss, seconds in said:
                ends = {name: self._round.view(ref).copy() for name, ref in chores[at].rows[client].items()}
                yield Trained(client, ends, steps, loss, seconds)
        self._round.reset()

    def _rooms(self, context: Context, kind: type) -> dict[str, Any]:
        """Where a client's ends are written, by the name of the trained vector."""
        return {name: self._round.room(np.shape(value), kind) for name, value in context.trained.items()}

    def each(self, chores: Sequence[Chore], network: Network, round: int) -> Iterator[Any]:
        """What each chore gives, in their order."""
        self._gather()
        self._round.reset()
        found = dict(self._done(chores, network, round))
        self._round.reset()
        return (found[at] for at in range(len(chores)))

    def close(self) -> None:
        """Ends every process of the pool, whatever it is doing."""
        for worker in self._workers:
            worker.door.close()
        self._workers, self._waiting = [], []
        self._door.close()
        try:
            self._nursery.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._nursery.kill()
            self._nursery.wait()
        self._data.close()
        self._round.close()

    def __del__(self) -> None:
        if getattr(self, "_nursery", None) is not None and self._nursery.poll() is None:
            self.close()

    # -- inside ------------------------------------------------------------------------------------

    def _done(self, chores: Sequence[Chore], network: Network, round: int) -> Iterator[tuple[int, Any]]:
        """(index, what it gave) of each chore, as they are done by whichever worker is free, begun in their order."""
        blobs = [_packed(chore, self._round, network) for chore in chores]
        todo, tries, left = list(range(len(chores))), [0] * len(chores), len(chores)
        idle = list(self._workers)
        while left:
            while todo and idle:
                worker = idle.pop(0)
                at = todo.pop(self._next(worker, [chores[one] for one in todo]))
                self._home[chores[at].ids[0]] = worker.pid
                worker.task, tries[at] = at, tries[at] + 1
                self._send(worker, ("do", blobs[at], self._paths()))
            for door in wait([worker.door for worker in self._workers if worker.task >= 0]):
                worker = next(one for one in self._workers if one.door is door)
                at, worker.task = worker.task, -1
                try:
                    word, said = worker.door.recv()
                except (EOFError, OSError):
                    word, said = "died", self._why(worker.pid)
                    worker = self._replace(worker)
                what = f"{chores[at].doing} {_clients(chores[at].ids)}"
                if word in ("died", "memory"):
                    if tries[at] >= TRIES:
                        raise UserError(
                            f"engine: a worker {what} in round {round} ended {tries[at]} times ({said}); "
                            "take a smaller engine.block or fewer engine.workers",
                            key="engine.workers",
                        )
                    self.notes.append(f"a worker {what} ended ({said}); its task was run again")
                    todo.insert(0, at)
                elif word == "refused":
                    raise said
                elif word == "failed":
                    raise RuntimeError(f"in a worker {what}:\n{said}")
                else:
                    left -= 1
                    yield at, said
                idle.append(worker)

    def _next(self, worker: _Worker, todo: Sequence[Chore]) -> int:
        """Which of the chores that are left: the first that this worker did before, or nobody; else the first.

        So data stays with one worker, and each holds a part of it. Which worker does what changes no bit.
        """
        homes = (self._home.get(chore.ids[0], worker.pid) for chore in todo)
        return next((at for at, home in enumerate(homes) if home == worker.pid), 0)

    def _hire(self) -> Connection:
        here, there = socket.socketpair()
        try:
            socket.send_fds(self._door, [b"w"], [there.fileno()])
        except OSError as error:
            raise UserError("engine: the workers' parent process is gone", key="engine.workers") from error
        there.close()
        return Connection(here.detach())

    def _gather(self) -> None:
        """Waits for the workers that were asked for, and sets them up."""
        for door in self._waiting:
            worker = self._greet(door)
            self._workers.append(worker)
        self._waiting = []

    def _greet(self, door: Connection) -> _Worker:
        try:
            pid = int(door.recv())
            if not self._blob:
                self._blob = self._pack_setup()
            worker = _Worker(door, pid)
            door.send(("setup", self._blob, self._paths()))
            word, said = door.recv()
        except (EOFError, OSError) as error:
            raise UserError("engine: a worker process ended before it was set up", key="engine.workers") from error
        if word != "ready":
            raise UserError(f"engine: a worker could not be set up: {said}", key="engine.workers")
        return worker

    def _replace(self, gone: _Worker) -> _Worker:
        gone.door.close()
        fresh = self._greet(self._hire())
        self._workers[self._workers.index(gone)] = fresh
        return fresh

    def _send(self, worker: _Worker, message: Any) -> None:
        with contextlib.suppress(OSError):  # it is gone: the wait that follows sees that
            worker.door.send(message)

    def _paths(self) -> dict[str, str]:
        return {arena.name: arena.path for arena in (self._data, self._round)}

    def _pack_setup(self) -> bytes:
        return _packed(self.setup, self._data, None)

    def _why(self, pid: int) -> str:
        """How a worker ended, as its parent saw it."""
        until = time.monotonic() + 2.0
        while pid not in self._ended and time.monotonic() < until:
            if select.select([self._door], [], [], 0.1)[0]:
                seen = self._door.recv(STATUS.size)
                if len(seen) < STATUS.size:
                    return "with all workers"
                one, status = STATUS.unpack(seen)
                self._ended[one] = status
        status = self._ended.get(pid, 0)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            hint = ", as when memory runs out" if number == signal.SIGKILL else ""
            return f"killed by {signal.Signals(number).name}{hint}"
        return f"exit status {os.waitstatus_to_exitcode(status)}"


def _packed(value: object, arena: Arena, network: object) -> bytes:
    try:
        return pack(value, arena, network)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UserError(
            f"engine.workers: what the clients work with cannot be sent to another process ({error}); "
            "define it in a module that can be imported, or take engine.workers = 1",
            key="engine.workers",
        ) from error


def _clients(ids: Sequence[int]) -> str:
    names = [str(i) for i in ids]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"client{'s' if len(names) > 1 else ''} {', '.join(names[:5])}{more}"
