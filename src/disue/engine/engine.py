"""Maps the local part over the clients that answer, and keeps their private memories."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from disue.core.checks import Array, Float64, IntVector, frozen
from disue.core.clients import Clients, Context, Local, Memory, Order
from disue.core.errors import UserError, unknown
from disue.core.orders import SQUARE, Orders
from disue.core.statics import Statics
from disue.core.world import World
from disue.engine.answers import Answer, fault
from disue.engine.chores import Choosing, Measuring, portions
from disue.engine.crew import Choice
from disue.engine.interface import Trained, Work
from disue.engine.measure import ClientMoments
from disue.engine.memory import MemoryStore
from disue.engine.plain import PlainUploads
from disue.engine.precision import checked_precision
from disue.engine.registry import NAMES
from disue.engine.staff import PERSONAL, Staff
from disue.engine.traffic import Traffic

END = "end"  # the engine's own name in a memory: a client's last end, for those who start from themselves
INFORMANTS = "informants"  # the stream of what liars train for each other (`runs.attacked`)
TRIALS = ("survey", "newcomers", PERSONAL, INFORMANTS)  # streams of exchanges that leave the memories as they are


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

    backend  "auto", or by name: "lean" (fast, one client at a time), "stacked" (many at once), "native"
             (compiled), "loop" (the reference); or a `Choice` that was recorded
    workers  processes that train, one thread each; 1: this process; 0: as many as there are cores where the
             run is long enough. The same bits whatever the number
    block    clients at once where they are stacked; 0: chosen     device   "cpu" or "cuda"
    memory   the clients' private memories                         augment  kinds of augmentation of batches
    cache    MiB of clients' data kept as tensors                  double   float64, to compare backends
    precision  "bf16": forward and backward passes in bfloat16, where the device has it in hardware
    """

    def __init__(
        self,
        clients: Clients,
        backend: str | Choice = "lean",
        device: str = "cpu",
        memory: MemoryStore | None = None,
        augment: tuple[str, ...] = (),
        *,
        workers: int = 1,
        block: int = 0,
        cache: int = 512,
        double: bool = False,
        precision: str = "float32",
    ) -> None:
        if isinstance(backend, str) and backend not in ("auto", *NAMES):
            raise unknown("engine.backend", backend, ["auto", *NAMES])
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
        self._backend = backend
        self.dtype = torch.float64 if double else torch.float32
        self.precision = checked_precision(precision, device)
        self._clients, self._block, self._workers, self._cache = clients, block, workers, cache
        self.statics: Statics | None = None  # set where label counts and moments are released over standing lots
        self.staff = self._staff(backend)

    def _staff(self, backend: str | Choice) -> Staff:
        return Staff(
            self._clients,
            backend,
            self._block,
            workers=self._workers if self.device == "cpu" else 1,
            cache=self._cache,
            dtype=self.dtype,
            device=self.device,
        )

    def hold(self, clients: Clients) -> None:
        """From here on clients hold other data: what was kept of the old is dropped, workers are started anew."""
        self.staff.close()
        self._clients = clients
        self.staff = self._staff(self._backend if self.choice is None else self.choice)

    @property
    def choice(self) -> Choice | None:
        """The backend that trains, once that is known."""
        return self.staff.choice

    def close(self) -> None:
        """Ends the workers."""
        self.staff.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answer(
        self,
        world: World,
        orders: Orders,
        answering: IntVector | None = None,
        memories: Mapping[int, Memory] | None = None,
    ) -> PlainUploads:
        """The answers of those in `answering` (None: of all asked). Who does not answer keeps its memory.

        Memories are as they were after a survey, a trial of newcomers or an evaluation too: what these train is thrown
        away. memories: what clients hold in such an exchange instead of what is stored.
        """
        orders = orders.check(world.layout)
        orders = orders.among(np.sort(orders.ids if answering is None else np.asarray(answering, np.int64)))
        traffic = Traffic(world, orders)
        notes: list[str] = []
        work: Iterator[tuple[Answer, Memory]]
        if orders.local is None:
            told = self._chosen(world, orders)
            work = (
                (_surveyed(orders, self._ask(world, orders, i, traffic, told.get(i))), {}) for i in orders.ids.tolist()
            )
        else:
            work = self._train(world, orders, orders.local, traffic, notes, memories)
        kept, dropped = [], {}
        tried: dict[int, Memory] = {}
        for answer, memory in work:
            traffic.answer(answer)
            why = fault(world.layout, answer.end, {**answer.extras, **memory})
            if why is not None:
                dropped[answer.id] = f"client {answer.id} left out of round {orders.round}: {why}"
                continue
            kept.append(answer)
            if orders.local is not None and orders.stream not in TRIALS:
                self.memory.put(answer.id, memory)
            elif orders.stream == "newcomers":
                tried[answer.id] = memory
        if self.memory.note:
            notes.append(self.memory.note)
        return PlainUploads(
            world,
            orders,
            kept,
            self._measured,
            dict(sorted(dropped.items())),
            traffic,
            tuple(notes),
            tried,
            self.statics,
        )

    def _chosen(self, world: World, orders: Orders) -> dict[int, tuple[Float64, float]]:
        """id → (what it chose among its candidates, seconds), where the orders have clients choose.

        A client whose shares the server knows is told them.
        """
        told = {client: (row, 0.0) for client, row in orders.told().items()}
        if orders.report.choice == "none":
            return told
        rows = zip(orders.ids.tolist(), orders.which, strict=True)
        which = {client: row for client, row in rows if client not in told}
        chores = [
            Choosing(world.network, orders.starts, {i: which[i] for i in ids}, shares=orders.report.choice != "loss")
            for ids in portions(list(which))
        ]
        done = self.staff.each(chores, world.network, orders.round)
        return told | {client: (choice, seconds) for portion in done for client, choice, seconds in portion}

    def measure(self, asked: Measuring, round: int = 0) -> Iterator[tuple[int, ClientMoments, float]]:
        """(id, moments, seconds) of clients that measure, outside any orders."""
        yield from self._measured(asked, round)

    def _measured(self, asked: Measuring, round: int) -> Iterator[tuple[int, ClientMoments, float]]:
        chores = [replace(asked, under={client: asked.under[client] for client in ids}) for ids in portions(asked.ids)]
        for portion in self.staff.each(chores, asked.network, round):
            yield from portion

    def _ask(
        self, world: World, orders: Orders, client: int, traffic: Traffic, told: tuple[Float64, float] | None
    ) -> _Asked:
        """Sends a client its vectors, and probes its data where that is asked; `told` is what it chose."""
        at = int(np.searchsorted(orders.ids, client))
        which = orders.which[at]
        into = which if orders.into is None else orders.into[at]
        traffic.start(client, [*which.tolist(), *into.tolist()])
        begun = time.perf_counter()
        candidates = frozen(orders.starts[which])
        choice, before = (np.eye(1, which.size)[0], 0.0) if told is None else told
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
            network=world.network,
            streams=world.streams,
        )
        extras: Mapping[str, Array] = {}
        if orders.probe is not None:
            data = self.staff.shelf.get(client)
            extras = orders.probe(data.x, data.y, order)
        return _Asked(order, received, choice, extras, before + time.perf_counter() - begun)

    def _train(
        self,
        world: World,
        orders: Orders,
        local: Local,
        traffic: Traffic,
        notes: list[str],
        memories: Mapping[int, Memory] | None,
    ) -> Iterator[tuple[Answer, Memory]]:
        """(answer, new memory) of each client, in the order in which they are done."""
        asked: dict[int, tuple[_Asked, Context]] = {}
        held = self.memory.get if memories is None else lambda client: memories.get(client, {})
        told = self._chosen(world, orders)
        for client in orders.ids.tolist():
            found = self._ask(world, orders, client, traffic, told.get(client))
            asked[client] = found, local.context(found.order, held(client))
        work = Work(
            world.network,
            world.streams,
            orders.stream,
            orders.round,
            self.dtype,
            self.device,
            self.augment,
            self.precision,
        )
        contexts = {client: context for client, (_, context) in asked.items()}
        ends = self.staff.train(work, local, contexts, world.rounds, notes) if local.phases else _untrained(contexts)
        for trained in ends:
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
                found.order.start,  # without entries of its own, which are in no update
                frozen(end),
                found.choice,
                found.order.size,
                found.order.labels,
                _named(orders, {**found.extras, **done.extras, **_square(orders, end, found.order.start)}, trained.id),
                trained.steps,
                trained.loss,
                found.seconds + trained.seconds,
            )
            yield answer, memory


def _untrained(contexts: Mapping[int, Context]) -> Iterator[Trained]:
    """Where a part has no phases, ends are the vectors of its context."""
    for client, context in contexts.items():
        yield Trained(client, dict(context.trained), 0, float("nan"), 0.0)


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


def _square(orders: Orders, end: Array, start: Array) -> dict[str, Array]:
    """The squared length of an update, where it is asked for."""
    if SQUARE not in orders.report.extras:
        return {}
    update = end.astype(np.float64) - start
    return {SQUARE: np.array([update @ update])}


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
