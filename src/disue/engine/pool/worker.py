"""What a worker process does: it takes a block, trains it with one thread, and writes the ends in their rows."""

from __future__ import annotations

import os
import pickle
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch

from disue.core.clients import Clients, Context, Local
from disue.core.errors import UserError
from disue.core.world import Network
from disue.engine.interface import Backend, Job, Work
from disue.engine.pool.arena import Arena, Ref, unpack
from disue.engine.registry import make
from disue.engine.shelf import Shelf


@dataclass(frozen=True, eq=False)
class Setup:
    """What a worker holds for the whole run."""

    clients: Clients
    network: Network
    cache: int  # bytes of data kept as tensors
    dtype: torch.dtype
    device: str


@dataclass(frozen=True, eq=False)
class Task:
    """A block to train: the clients' contexts, and where the end of each trained vector goes."""

    work: Work
    local: Local
    backend: str
    block: int
    contexts: dict[int, Context]
    ends: dict[int, dict[str, Ref]]


def main(fd: int) -> None:
    """Serves until the other end closes."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    door = Connection(fd)
    door.send(os.getpid())
    arenas: dict[str, Arena] = {}
    held: Setup | None = None
    backends: dict[tuple[str, int], Backend] = {}
    shelf: Shelf | None = None
    try:
        while True:
            kind, blob, paths = door.recv()
            for name, path in paths.items():
                if name not in arenas:
                    arenas[name] = Arena(name, path)
            try:
                if kind == "setup":
                    held = unpack(blob, arenas)
                    assert held is not None
                    shelf = Shelf(held.clients, held.dtype, held.device, held.cache)
                    answer: Any = ("ready", None)
                else:
                    assert held is not None and shelf is not None
                    task: Task = unpack(blob, arenas, held.network)
                    key = (task.backend, task.block)
                    if key not in backends:
                        backends[key] = make(*key)
                    answer = ("done", _train(backends[key], task, shelf, arenas))
            except UserError as error:
                answer = ("refused", error)
            except MemoryError:
                answer = ("memory", "out of memory")
            except Exception as error:
                short = "alloc" in str(error) and isinstance(error, RuntimeError)
                answer = ("memory", str(error)) if short else ("failed", traceback.format_exc())
            try:
                door.send(answer)
            except (pickle.PicklingError, TypeError, AttributeError):
                door.send(("failed", str(answer[1])))
    except (EOFError, OSError):
        return


def _train(backend: Backend, task: Task, shelf: Shelf, arenas: dict[str, Arena]) -> list[tuple[int, int, float, float]]:
    """(id, steps, loss, seconds) of each client; the ends lie in the arena."""

    def jobs() -> Any:
        for client, context in task.contexts.items():
            data = shelf.get(client)
            yield Job(client, task.local, context, data.inputs, data.labels)

    out = []
    for trained in backend.train(task.work, jobs()):
        for name, ref in task.ends[trained.id].items():
            arenas[ref.arena].view(ref)[...] = trained.ends[name]
        out.append((trained.id, trained.steps, trained.loss, trained.seconds))
    return out
