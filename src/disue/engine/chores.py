"""What a process is given to do with clients' data: the same here as in a worker, client by client."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from disue.core.checks import Float64, IntVector, Matrix, Vector
from disue.core.clients import Context, Local
from disue.core.world import Network
from disue.engine import fitting
from disue.engine.crew import Here
from disue.engine.interface import Work
from disue.engine.measure import ClientMoments, of_client
from disue.engine.shelf import Data

A = TypeVar("A")
B = TypeVar("B")
CALLS = 16  # chores that an exchange is cut into where each client's is short


class Chore(Protocol):
    """`do` gives the same bits in any process. `doing` is what messages call it."""

    @property
    def doing(self) -> str: ...
    @property
    def ids(self) -> Sequence[int]: ...
    def do(self, here: Here) -> Any: ...


def portions(ids: Sequence[int]) -> list[list[int]]:
    """Clients in some `CALLS` portions of equal size: what is told across processes costs no more than the work."""
    size = max(1, -(-len(ids) // CALLS))
    return [list(ids[at : at + size]) for at in range(0, len(ids), size)]


@dataclass(frozen=True, eq=False)
class Training:
    """A block of clients. An end is written to `rows`, where the process that asked shares memory."""

    work: Work
    local: Local
    backend: str
    block: int
    contexts: Mapping[int, Context]
    rows: Mapping[int, Mapping[str, Any]]

    doing = "training"

    @property
    def ids(self) -> Sequence[int]:
        return list(self.contexts)

    def do(self, here: Here) -> list[tuple[int, int, float, float]]:
        """(id, steps, loss, seconds) of each client."""
        jobs = (here.job(client, self.local, context) for client, context in self.contexts.items())
        out = []
        for trained in here.made(self.backend, self.block).train(self.work, jobs):
            for name, ref in self.rows[trained.id].items():
                here.view(ref)[...] = trained.ends[name]
            out.append((trained.id, trained.steps, trained.loss, trained.seconds))
        return out


@dataclass(frozen=True, eq=False)
class Choosing:
    """Which of some vectors fits a client's data: rows `which[id]` of `starts`; by samples with `shares`."""

    network: Network
    starts: Matrix
    which: Mapping[int, IntVector]
    shares: bool

    doing = "choosing for"

    @property
    def ids(self) -> Sequence[int]:
        return list(self.which)

    def do(self, here: Here) -> list[tuple[int, Float64, float]]:
        """(id, (c,) one-hot or shares, seconds) of each client."""
        return _by_client(here, self.which, self._chosen)

    def _chosen(self, data: Data, rows: IntVector) -> Float64:
        losses = fitting.losses(self.network, self.starts[rows], data.x, data.y)
        return fitting.shares(losses) if self.shares else np.eye(rows.size)[fitting.chosen(losses)]


@dataclass(frozen=True, eq=False)
class Measuring:
    """Moments of the features of some clients, `without[id]` classes; see `measure.of_client`."""

    network: Network
    classes: int
    under: Mapping[int, Vector]
    against: Vector | None
    per_class: bool
    without: Mapping[int, IntVector] = field(default_factory=dict)

    doing = "measuring"

    @property
    def ids(self) -> Sequence[int]:
        return list(self.under)

    def do(self, here: Here) -> list[tuple[int, ClientMoments, float]]:
        """(id, moments, seconds) of each client."""
        asked = {client: (under, self.without.get(client)) for client, under in self.under.items()}
        return _by_client(here, asked, self._moments)

    def _moments(self, data: Data, asked: tuple[Vector, IntVector | None]) -> ClientMoments:
        under, without = asked
        return of_client(self.network, data.x, data.y, self.classes, under, self.against, self.per_class, without)


def _by_client(here: Here, asked: Mapping[int, A], give: Callable[[Data, A], B]) -> list[tuple[int, B, float]]:
    """(id, what it gives, seconds) of each client, on its data and on what it is asked."""
    out = []
    for client, question in asked.items():
        begun = time.perf_counter()
        found = give(here.shelf.get(client), question)
        out.append((client, found, time.perf_counter() - begun))
    return out
