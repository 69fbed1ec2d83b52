"""Maps the local part over the clients that answer, and keeps their private memories."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from disue.core.checks import Array, Float64, IntVector, frozen
from disue.core.clients import Clients, Context, Local, Memory, Order, SelfTrained
from disue.core.errors import UserError, unknown
from disue.core.orders import Orders
from disue.core.world import World
from disue.engine import choose
from disue.engine.answers import Answer, fault
from disue.engine.interface import Backend, Job, Work
from disue.engine.lean import Lean
from disue.engine.loop import Loop
from disue.engine.memory import MemoryStore
from disue.engine.plain import PlainUploads
from disue.engine.shelf import Shelf
from disue.engine.traffic import Traffic

BACKENDS: dict[str, Callable[[], Backend]] = {"lean": Lean, "loop": Loop}
END = "end"  # the engine's own name in a memory: a client's last end, for those who start from themselves
TRIALS = ("survey", "newcomers")  # streams of exchanges whose training is discarded: memories stay as they are


@dataclass(frozen=True, eq=False)
class _Asked:
    """A client's order, and what it did before training."""

    order: Order
    received: Array
    choice: Float64
    extras: Mapping[str, Array]
    seconds: float


class Engine:
    """`Engine(clients).answer(world, orders)` is the clients' work of one exchange.

    backend  "lean" (fast) or "loop" (the reference)     device   "cpu" or "cuda"
    memory   the clients' private memories               augment  kinds of augmentation of training batches
    cache    MiB of clients' data kept as tensors        double   float64, to compare backends
    """

    def __init__(
        self,
        clients: Clients,
        backend: str = "lean",
        device: str = "cpu",
        memory: MemoryStore | None = None,
        augment: tuple[str, ...] = (),
        *,
        cache: int = 512,
        double: bool = False,
    ) -> None:
        if backend not in BACKENDS:
            raise unknown("engine.backend", backend, BACKENDS)
        if device.partition(":")[0] not in ("cpu", "cuda"):
            raise unknown("engine.device", device, ["cpu", "cuda"])
        if device != "cpu" and not torch.cuda.is_available():
            raise UserError(
                f'engine.device is "{device}", and torch finds no such device here: use "cpu"',
                key="engine.device",
                found=device,
            )
        self.device, self.augment = device, tuple(augment)
        self.memory = MemoryStore() if memory is None else memory
        self.dtype = torch.float64 if double else torch.float32
        self._clients = clients
        self._shelf = Shelf(clients, self.dtype, device, cache * 2**20)
        self._loop = Loop()
        self._backend = self._loop if backend == "loop" else BACKENDS[backend]()

    def answer(self, world: World, orders: Orders, answering: IntVector | None = None) -> PlainUploads:
        """The answers of those in `answering` (None: of all asked). Who does not answer keeps its memory.

        Memories are as they were after a survey or a trial of newcomers too: what they train is thrown away.
        """
        orders = orders.check(world.layout)
        orders = orders.among(np.sort(orders.ids if answering is None else np.asarray(answering, np.int64)))
        traffic = Traffic(world, orders)
        notes: tuple[str, ...] = ()
        work: Iterator[tuple[Answer, Memory]]
        if orders.local is None:
            work = ((_surveyed(orders, self._ask(world, orders, i, traffic)), {}) for i in orders.ids.tolist())
        else:
            if isinstance(orders.local, SelfTrained) and self._backend is not self._loop:
                notes = (f"{type(orders.local).__name__} trains by itself: it ran on the loop backend",)
            work = self._train(world, orders, orders.local, traffic)
        kept, dropped = [], {}
        for answer, memory in work:
            traffic.answer(answer)
            why = fault(world.layout, answer.end, {**answer.extras, **memory})
            if why is not None:
                dropped[answer.id] = f"client {answer.id} left out of round {orders.round}: {why}"
                continue
            kept.append(answer)
            if orders.local is not None and orders.stream not in TRIALS:
                self.memory.put(answer.id, memory)
        return PlainUploads(world, orders, kept, self._shelf, dropped, traffic, notes)

    def _ask(self, world: World, orders: Orders, client: int, traffic: Traffic) -> _Asked:
        """Sends a client its vectors, has it choose, and probes its data where that is asked."""
        at = int(np.searchsorted(orders.ids, client))
        which = orders.which[at]
        into = which if orders.into is None else orders.into[at]
        traffic.start(client, [*which.tolist(), *into.tolist()])
        begun = time.perf_counter()
        data = self._shelf.get(client)
        candidates = frozen(orders.starts[which])
        choice = np.eye(1, which.size)[0]
        if orders.report.choice != "none":
            losses = choose.losses(world.network, candidates, data.x, data.y)
            one_hot = np.eye(which.size)[choose.chosen(losses)]
            choice = one_hot if orders.report.choice == "loss" else choose.shares(losses)
        chosen = int(np.argmax(choice))
        received = frozen(orders.starts[into[chosen]])
        own = self.memory.get(client).get(END) if orders.own else None
        order = Order(
            id=client,
            round=orders.round,
            start=received if own is None else own,
            candidates=candidates,
            chosen=chosen,
            shares=choice,
            extras=orders.extras,
            size=self._clients.size(client),
            labels=self._clients.label_counts(client),
            layout=world.layout,
        )
        extras = {} if orders.probe is None else orders.probe(data.x, data.y, order)
        return _Asked(order, received, choice, extras, time.perf_counter() - begun)

    def _train(self, world: World, orders: Orders, local: Local, traffic: Traffic) -> Iterator[tuple[Answer, Memory]]:
        """(answer, new memory) of each client, in the order of ids."""
        asked: dict[int, tuple[_Asked, Context]] = {}

        def jobs() -> Iterator[Job]:
            for client in orders.ids.tolist():
                found = self._ask(world, orders, client, traffic)
                context = local.context(found.order, self.memory.get(client))
                asked[client] = found, context
                data = self._shelf.get(client)
                yield Job(client, local, context, data.inputs, data.labels)

        work = Work(world.network, world.streams, orders.stream, orders.round, self.dtype, self.device, self.augment)
        backend = self._loop if isinstance(local, SelfTrained) else self._backend
        for trained in backend.train(work, jobs()):
            found, context = asked.pop(trained.id)
            done = local.finish(trained.ends, trained.steps, context, found.order)
            memory = dict(done.memory)
            end = np.ascontiguousarray(done.end)
            if end.shape != (world.layout.d,):
                raise UserError(
                    f"end of client {trained.id}: expected {world.layout.d:,} numbers, got shape {end.shape}",
                    key="local",
                    found=end.shape,
                )
            if orders.own:
                memory[END] = end
            elif END in self.memory.get(trained.id):
                memory.setdefault(END, self.memory.get(trained.id)[END])
            answer = Answer(
                trained.id,
                found.received,
                context.trained["model"],
                frozen(end),
                found.choice,
                found.order.size,
                found.order.labels,
                _named(orders, {**found.extras, **done.extras}, trained.id),
                trained.steps,
                trained.loss,
                found.seconds + trained.seconds,
            )
            yield answer, memory


def _surveyed(orders: Orders, found: _Asked) -> Answer:
    """The answer of a client that trained nothing."""
    order = found.order
    extras = _named(orders, found.extras, order.id)
    return Answer(
        order.id,
        found.received,
        order.start,
        order.start,
        found.choice,
        order.size,
        order.labels,
        extras,
        0,
        float("nan"),
        found.seconds,
    )


def _named(orders: Orders, extras: Mapping[str, Array], client: int) -> dict[str, Array]:
    """The extras that go up: those the report names."""
    missing = [name for name in orders.report.extras if name not in extras]
    if missing:
        made = ", ".join(extras) or "none"
        raise UserError(
            f'report.extras: client {client} has no "{missing[0]}" to send; its part makes {made}',
            key="report.extras",
            found=missing[0],
        )
    return {name: np.asarray(extras[name]) for name in orders.report.extras}
