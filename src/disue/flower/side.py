"""Clients behind a network, as a run's loop sees them: its orders become messages, the answers a door."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from disue.core.checks import Array, Float64, IntVector, digest
from disue.core.lots import Lots
from disue.core.method import Info, Served
from disue.core.orders import Orders
from disue.core.statics import Statics
from disue.engine.answers import Answer, fault
from disue.engine.chores import Measuring
from disue.engine.engine import TRIALS
from disue.engine.measure import ClientMoments
from disue.engine.plain import PlainUploads
from disue.engine.traffic import COUNT, Traffic
from disue.evaluation import Evaluation, evaluate, taught
from disue.evaluation.local import spreads
from disue.flower import encoding
from disue.flower.head import DROPPED, FORGOT
from disue.flower.messages import Body
from disue.flower.nodes import Nodes, headed
from disue.flower.orders import VECTOR, down
from disue.flower.replies import answer_of, counts_of, moments_of
from disue.flower.scoring import scoring
from disue.flower.test_set import ServerTest
from disue.runs.folder import Folder, Row
from disue.runs.lots import least
from disue.runs.setup import Setup
from disue.runs.side import Exchanged

if TYPE_CHECKING:
    from disue.runs.protect import Protection

T = TypeVar("T")


@dataclass
class Spent:
    """Seconds of a round: `wait` at the server for answers; `node` of these the slowest site in this library, imports
    among them; `work` of those its training, measuring and scoring, `torch` its loading of torch."""

    wait: float = 0.0
    node: float = 0.0
    work: float = 0.0
    torch: float = 0.0


class Networked:
    """See `runs.side.ClientSide`.

    names   id → the client's name              heard   id → the last round whose answer was counted
    start   how often the server began on this run: names of exchanges are given once
    """

    randomness = "the operating systems of the sites"

    def __init__(self, setup: Setup, nodes: Nodes, names: Mapping[int, str], start: int = 0) -> None:
        self.setup, self.nodes, self.names, self.start = setup, nodes, dict(names), start
        self.ids_of = {name: client for client, name in self.names.items()}
        self.heard: dict[int, int] = {}
        self.safe = -1
        self.notes = alike(setup)
        self.statics: Statics | None = None
        self.spent = Spent()
        self.cohort: str | None = None  # the name of the round's first exchange
        self.test = None if not setup.spec.network.test else ServerTest.read(setup.spec)
        self._count = 0
        self._round = -1
        self._said: list[str] = []
        self._sizes = dict(zip(setup.world.census.ids.tolist(), setup.world.census.sizes.tolist(), strict=True))
        self.protection: Protection | None = None
        if setup.spec.privacy.on:
            from disue.flower.field import NetworkField
            from disue.runs.protect import Protection

            self.field = NetworkField(self)
            self.protection = Protection(setup, self.field, start)

    # -- a round ----------------------------------------------------------------------------------------

    def begin(self, round: int) -> None:
        self._round, self.cohort, self.spent = round, None, Spent()
        self.nodes.crossed = type(self.nodes.crossed)()
        if self.protection is not None:
            self.protection.begin(round)

    def answer(self, orders: Orders, round: int) -> Exchanged:
        world = self.setup.world
        orders = orders.check(world.layout)
        orders = orders.among(np.sort(orders.ids))
        exchange = self.exchange()
        if self.cohort is None and orders.local is not None and orders.stream not in TRIALS:
            self.cohort = exchange
        code = self.setup.spec.network.encoding
        traffic = Traffic(world, orders, *encoding.cost(code, world.layout))
        if self.protection is not None:
            return self.field.door(self.protection, orders, exchange, traffic)
        sent: dict[int, set[str]] = {client: set() for client in orders.ids.tolist()}

        def body(name: str) -> Body:
            client = self.ids_of[name]
            sent[client] = set()
            about, arrays = down(orders, client, sent[client])
            return Body("train", {**self.head(client, exchange), "orders": about}, arrays)

        kept: list[Answer] = []
        dropped: dict[int, str] = {}
        for client in orders.ids.tolist():
            at = int(np.searchsorted(orders.ids, client))
            into = orders.which if orders.into is None else orders.into
            traffic.start(client, [*orders.which[at].tolist(), *into[at].tolist()])

        def read(client: int, reply: Body) -> Answer | str:
            if DROPPED in reply.about:
                return str(reply.about[DROPPED])
            answer = answer_of(orders, client, reply, self._sizes[client], world.layout, code)
            return fault(world.layout, answer.end, answer.extras) or answer

        for client, answer in self.ask([self.names[i] for i in orders.ids.tolist()], body, read):
            if isinstance(answer, str):
                left_out = "left out" in answer
                dropped[client] = answer if left_out else f"client {client} left out of round {orders.round}: {answer}"
                continue
            traffic.answer(answer)
            self.hear(orders, client)
            kept.append(answer)
        measured = self._measuring(exchange, sent)
        return PlainUploads(
            world, orders, kept, measured, dict(sorted(dropped.items())), traffic, (), None, self.statics
        )

    def exchange(self) -> str:
        """A name that was never given before."""
        self._count += 1
        return f"{self.start}.{self._round}.{self._count}"

    def head(self, client: int, exchange: str) -> dict[str, Any]:
        return headed(
            self.nodes.head,
            client=client,
            name=self.names[client],
            round=max(self._round, 0),
            heard=self.heard.get(client, -1),
            safe=self.safe,
            exchange=exchange,
        )

    def ask(
        self,
        names: Sequence[str],
        body: Callable[[str], Body],
        read: Callable[[int, Body], T],
        enough: float | None = None,
    ) -> Iterator[tuple[int, T]]:
        """(client, its answer as `read` makes it) of those who answer; who does not, and why, is in the run's log."""
        began, slowest, work, torch = time.perf_counter(), 0.0, 0.0, 0.0

        def came(name: str, reply: Body) -> T:
            nonlocal slowest, work, torch
            found = read(self.ids_of[name], reply)
            slowest = max(slowest, float(reply.about.get("site", 0.0)))
            work = max(work, float(reply.about.get("work", 0.0)))
            torch = max(torch, float(reply.about.get("torch", 0.0)))
            if reply.about.get(FORGOT):
                self.say(f"network: {name} has lost its memory of the run with its store, and goes on without")
            return found

        for name, found in self.nodes.ask({name: body(name) for name in names}, came, again=body, enough=enough):
            yield self.ids_of[name], found
        self.spent.wait += time.perf_counter() - began
        self.spent.node += slowest
        self.spent.work += work
        self.spent.torch += torch

    def say(self, text: str) -> None:
        """A sentence for the run's log."""
        if text not in self._said:
            self._said.append(text)

    def hear(self, orders: Orders, client: int) -> None:
        """This client's answer counts."""
        if orders.local is not None and orders.stream not in TRIALS:
            self.heard[client] = orders.round

    def _measuring(self, exchange: str, sent: dict[int, set[str]]) -> Any:
        def measure(asked: Measuring, round: int) -> Iterator[tuple[int, ClientMoments, float]]:
            def body(name: str) -> Body:
                client = self.ids_of[name]
                vectors = {digest(v): v for v in (asked.under[client], asked.against) if v is not None}
                fresh = {VECTOR + n: v for n, v in vectors.items() if n not in sent[client] or n in again}
                again.update(vectors)
                sent[client] |= set(vectors)
                about = {
                    "under": digest(asked.under[client]),
                    "against": None if asked.against is None else digest(asked.against),
                    "per_class": asked.per_class,
                }
                without = asked.without.get(client, np.zeros(0, np.int64))
                return Body("measure", {**self.head(client, exchange), **about}, {**fresh, "without": without})

            again: set[str] = set()

            def read(client: int, reply: Body) -> tuple[ClientMoments, float]:
                return moments_of(reply, self.setup.world.layout), float(reply.about["seconds"])

            for client, (found, seconds) in self.ask([self.names[i] for i in asked.ids], body, read):
                yield client, found, seconds

        return measure

    # -- what the loop asks besides ---------------------------------------------------------------------

    def engine(self) -> Mapping[str, Any] | None:
        return {"backend": self.setup.spec.engine.backend, "where": "at the sites"}

    def sizes(self, ids: IntVector) -> IntVector:
        return np.array([self._sizes[client] for client in ids.tolist()], np.int64)

    def stand(self, lots: Lots) -> int:
        if self.protection is not None:
            self.protection.stand(lots)
            return 0
        if self.statics is not None:
            return 0
        names = [self.names[client] for client in lots.ids.tolist()]
        exchange, classes = self.exchange(), self.setup.world.layout.classes

        def body(name: str) -> Body:
            return Body("labels", self.head(self.ids_of[name], exchange))

        def read(client: int, reply: Body) -> IntVector:
            return counts_of(reply.arrays["labels"], classes)

        counts = Counts(dict(self.ask(names, body, read, enough=1.0)))
        self.statics = Statics.counted(lots, counts, classes, least(self.setup.method))  # type: ignore[arg-type]
        return 2 * COUNT * classes * lots.ids.size

    def evaluate(self, state: Any, info: Info, ends: Mapping[int, Array], round: int) -> Evaluation:
        """Global figures on the server's own test set where it has one, local ones as the sites report them."""
        setup, world = self.setup, self.setup.world
        ids = world.census.ordered
        served = setup.method.serve(world, state, ids)
        metrics: dict[str, float] = {}
        if self.test is not None:
            found = evaluate(world.network, served, ids, self.test, teachers=taught(info.arrays), streams=world.streams)
            metrics.update(found.metrics)
        columns = self._scored(state, served, ids)
        metrics.update(spreads(columns))
        return Evaluation(metrics, ids, columns)

    def _scored(self, state: Any, served: Served, ids: IntVector) -> dict[str, Float64]:
        setup, exchange = self.setup, self.exchange()
        personal = getattr(setup.method.local, "personal", None)
        orders = setup.method.ask(setup.world, state, ids) if personal is not None else None

        def body(name: str) -> Body:
            client = self.ids_of[name]
            return scoring(served, ids, client, orders, self.head(client, exchange), self.cohort)

        columns: dict[str, Float64] = {}
        place = {client: at for at, client in enumerate(ids.tolist())}

        def read(client: int, reply: Body) -> dict[str, float]:
            return {str(name): float.fromhex(value) for name, value in reply.about["columns"].items()}

        for client, found in self.ask([self.names[i] for i in ids.tolist()], body, read, enough=0.0):
            for name, value in found.items():
                columns.setdefault(name, np.full(ids.size, np.nan))[place[client]] = value
        return dict(sorted(columns.items()))

    def late(self, state: Any, round: int) -> dict[str, float]:
        return {}

    def ended(self, row: Row, folder: Folder | None) -> tuple[str, ...]:
        once = () if self.protection is None else self.protection.ended(row, folder)
        crossed = self.nodes.crossed
        row["network.bytes_up"], row["network.bytes_down"] = crossed.up, crossed.down
        row["network.messages"] = crossed.messages
        row["network.seconds_wait"], row["network.seconds_sites"] = self.spent.wait, self.spent.node
        row["network.seconds_work"], row["network.seconds_torch"] = self.spent.work, self.spent.torch
        return once

    def said(self) -> list[str]:
        said, self._said = self._said, []
        return [*self.nodes.said(), *said, *([] if self.protection is None else self.protection.said())]

    # -- for a checkpoint -------------------------------------------------------------------------------

    def save(self, path: Path, round: int) -> None:
        """Sites keep their own memories."""

    def drop(self, path: Path, keep: Sequence[int]) -> None:
        self.safe = max(keep, default=-1) - 1

    def plain(self) -> dict[str, Any]:
        own: dict[str, Any] = {"heard": {str(i): r for i, r in sorted(self.heard.items())}}
        if self.protection is not None:
            return {"network": own, "privacy": self.protection.plain()}
        if self.statics is not None:
            own |= {name: getattr(self.statics, name).astype(int).tolist() for name in ("labels", "held", "broken")}
        return {"network": own}

    def restore(self, path: Path, round: int, meta: Mapping[str, Any], lots: Lots | None) -> None:
        own = meta.get("network", {})
        self.heard = {int(i): int(r) for i, r in own.get("heard", {}).items()}
        self.safe = round - 1
        self.say(f"network: the server was started again, and goes on after round {round}")
        if lots is not None and "labels" in own:
            held, broken = (np.array(own[name], bool) for name in ("held", "broken"))
            self.statics = Statics(lots, np.array(own["labels"], np.int64), held, broken)
        if self.protection is not None:
            self.protection.restore(meta.get("privacy", {}), lots, path.parent)

    def close(self) -> None:
        """Nothing of the sites' is held."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Label counts that sites sent, as `Statics` asks for them."""

    of: Mapping[int, IntVector]

    def label_counts(self, client: int) -> IntVector:
        return self.of[client]


def alike(setup: Setup) -> tuple[str, ...]:
    """What there is to say where sites do not read their samples alike."""
    if setup.spec.data.mean or setup.facts.data["kind"] == "text":
        return ()
    return (
        "data.mean is missing: every site normalises by its own training data, the server by its test set; give "
        "data.mean and data.std in the spec",
    )
