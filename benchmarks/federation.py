"""Rounds of FedAvg of a workload on disue's own engine, through the door that a run uses."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from work import CLASSES, LR, Work

from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.orders import Orders, Report, Sight
from disue.core.streams import Streams
from disue.core.world import Census, World
from disue.engine.crew import Choice
from disue.engine.engine import Engine
from disue.models.flat import flatten
from disue.models.network import TorchNetwork
from disue.parts.local import Erm


class Held:
    """The clients' data, as the engine asks for it."""

    def __init__(self, work: Work) -> None:
        inputs, labels = work.data()
        self.x, self.y = inputs.numpy(), labels.numpy()
        self.ids = np.arange(work.clients)

    def size(self, client: int) -> int:
        return len(self.y[client])

    def train(self, client: int) -> tuple[Any, Any]:
        return self.x[client], self.y[client]

    def label_counts(self, client: int) -> Any:
        return np.bincount(self.y[client], minlength=CLASSES)


class Ours:
    """One backend and a number of workers; `round` trains everybody and averages."""

    def __init__(self, work: Work, backend: str, block: int = 0, workers: int = 1) -> None:
        module = work.module()
        self.work, self.start = work, flatten(module)
        held: Any = Held(work)
        network = TorchNetwork(module, work.shape, "image")
        census = Census(held.ids, np.full(work.clients, work.samples), CLASSES)
        self.world = World(network.layout, census, network, Streams(0), 100)
        self.engine = Engine(held, Choice(backend, block), workers=workers)
        self.local = Erm(lr=LR, batch=work.batch, epochs=work.epochs)
        self.ids, self.groups = held.ids, Groups.make(dict.fromkeys(range(work.clients), 0))
        self.notes: tuple[str, ...] = ()

    def round(self, number: int = 1) -> str:
        """Trains from the start model; the hash of the average's bits."""
        orders = Orders(
            number,
            self.ids,
            self.start[None],
            np.zeros((len(self.ids), 1), np.int64),
            origin=self.start,
            local=self.local,
            report=Report(sight=frozenset({Sight.SUMS})),
        )
        uploads = self.engine.answer(self.world, orders)
        self.notes = uploads.notes
        average = (self.start + uploads.sums(self.groups).whole_mean()).astype(np.float32)
        return hashlib.sha256(average.tobytes()).hexdigest()


def refusal(work: Work, backend: str) -> str:
    """Why a backend is not there for this work; "" where it is."""
    from disue.engine.interface import Work as Task
    from disue.engine.registry import make

    ours = Ours(work, "lean")
    try:
        return make(backend).refuses(Task(ours.world.network, ours.world.streams, "batches", 1), ours.local)
    except (UserError, ImportError, OSError) as error:
        return str(error)
