"""What a worker process does: it takes a chore, does it with one thread, and answers."""

from __future__ import annotations

import os
import pickle
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch

from disue.core.clients import Clients
from disue.core.errors import UserError
from disue.core.world import Network
from disue.engine.chores import Chore
from disue.engine.crew import Here
from disue.engine.pool.arena import Arena, unpack
from disue.engine.shelf import Shelf


@dataclass(frozen=True, eq=False)
class Setup:
    """What a worker holds for the whole run."""

    clients: Clients
    network: Network
    cache: int  # bytes of data kept as tensors
    dtype: torch.dtype
    device: str


def main(fd: int) -> None:
    """Serves until the other end closes."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    door = Connection(fd)
    door.send(os.getpid())
    arenas: dict[str, Arena] = {}
    held: Setup | None = None
    here: Here | None = None
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
                    here = Here(shelf, lambda ref: arenas[ref.arena].view(ref))
                    answer: Any = ("ready", None)
                else:
                    assert held is not None and here is not None
                    chore: Chore = unpack(blob, arenas, held.network)
                    answer = ("done", chore.do(here))
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
