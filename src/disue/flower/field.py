"""Where the clients of a protected run are: each message of the protocol goes to the site that its index names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from disue.core.checks import Array, IntVector, digest
from disue.core.errors import UserError
from disue.core.orders import SQUARE, Orders, common_of
from disue.engine.traffic import Traffic
from disue.flower.head import DROPPED
from disue.flower.messages import Body
from disue.flower.orders import VECTOR, down
from disue.flower.protocol import COUNT, MEASURE, MESSAGE, TRAIN
from disue.runs.protect import ProtectedDoor, Protection
from disue.secure import keyring
from disue.secure.wire.messages import Abort
from disue.secure.wire.opening import Open
from disue.secure.wire.roster import Roster
from disue.secure.wire.tasks import Count, Measure, Task, Train, Wire

if TYPE_CHECKING:
    from disue.flower.side import Networked


@dataclass
class Beside:
    """What the server knows of the clients of an exchange beside the protocol: nothing of a single one's training."""

    traffic: Traffic
    dropped: dict[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ends: dict[int, Array] = field(default_factory=dict)
    losses: dict[int, float] = field(default_factory=dict)

    @property
    def bytes_down(self) -> int:
        return self.traffic.down

    @property
    def client_seconds(self) -> float:
        return self.traffic.seconds


class NetworkField:
    """See `secure.wire.tasks.Field` and `runs.protect.RunField`."""

    def __init__(self, side: Networked) -> None:
        self.side = side
        path = side.setup.spec.network.roster
        if not path:
            raise UserError(
                "network.roster is missing: a protected run needs the roster that its sites have checked; "
                "`disue keys` makes it",
                key="network.roster",
            )
        self.roster: Roster = keyring.unchecked(Path(path))
        self.ids = roster_ids(self.roster)
        self.models_down = 0
        self._seconds: dict[str, dict[int, float]] = {}
        self._orders: Orders | None = None
        self._exchange = ""
        self._sent: dict[int, set[str]] = {}
        self._beside: Beside | None = None

    def door(self, protection: Protection, orders: Orders, exchange: str, traffic: Traffic) -> ProtectedDoor:
        """What the method sees of the answers to these orders."""
        self._orders, self._exchange = orders, exchange
        self._sent = {client: set() for client in orders.ids.tolist()}
        self._beside = Beside(traffic)
        into = orders.which if orders.into is None else orders.into
        for at, client in enumerate(orders.ids.tolist()):
            traffic.start(client, [*orders.which[at].tolist(), *into[at].tolist()])
        return protection.door(orders, self._beside)

    # -- the field --------------------------------------------------------------------------------------

    def wire(self, task: Task, ids: IntVector, number: int) -> Wire:
        if isinstance(task, Measure):
            self.models_down += ids.size * sum(v.nbytes for v in (task.under, task.against) if v is not None)
        return NetworkWire(self, task, number)

    def extra_sizes(self, orders: Orders) -> dict[str, int]:
        """Clients that send further arrays train before the exchange is opened, since its sections name their sizes."""
        names = [name for name in orders.report.extras if name != SQUARE]
        if not names:
            return {}
        found: dict[str, int] = {}

        def body(name: str) -> Body:
            about, arrays = self.told(self.side.ids_of[name])
            return Body("sizes", {**self.head(self.side.ids_of[name]), "orders": about}, arrays)

        def read(client: int, reply: Body) -> dict[str, int] | str:
            if DROPPED in reply.about:
                return str(reply.about[DROPPED])
            return {name: int(reply.about["sizes"][name]) for name in names}

        for client, sizes in self.side.ask([self.side.names[i] for i in orders.ids.tolist()], body, read):
            if isinstance(sizes, str):
                self.drop(client, sizes)
            else:
                found = {**sizes, **found}
        return {name: int(found.get(name, 1)) for name in names}

    def told(self, client: int) -> tuple[dict[str, Any], dict[str, Array]]:
        """One client's share of the orders, with the vector that ends are counted from."""
        assert self._orders is not None
        sent = self._sent[client] = set()
        return down(self._orders, client, sent, common_of(self._orders))

    def task(self, task: Task, client: int) -> tuple[dict[str, Any], dict[str, Array]]:
        """What an exchange is about, for one client."""
        if isinstance(task, Count):
            return {"kind": COUNT}, {}
        if isinstance(task, Measure):
            arrays = {VECTOR + digest(v): v for v in (task.under, task.against) if v is not None}
            against = None if task.against is None else digest(task.against)
            about = {"kind": MEASURE, "under": digest(task.under), "against": against, "per_class": task.per_class}
            return about, {**arrays}
        about, arrays = self.told(client)
        return {"kind": TRAIN, "orders": about}, arrays

    def head(self, client: int) -> dict[str, Any]:
        return self.side.head(client, self._exchange)

    def drop(self, client: int, why: str) -> None:
        """An answer that its own site leaves out."""
        assert self._beside is not None
        self._beside.dropped[client] = why

    def trained(self, client: int) -> None:
        if self._orders is not None:
            self.side.hear(self._orders, client)

    def spent(self, index: int, seconds: Mapping[str, float]) -> None:
        for phase, value in seconds.items():
            of = self._seconds.setdefault(phase, {})
            of[index] = of.get(index, 0.0) + float(value)

    # -- for the run's record ---------------------------------------------------------------------------

    def begin(self) -> None:
        self._seconds, self.models_down = {}, 0

    def seconds(self) -> Mapping[str, Mapping[int, float]]:
        return self._seconds

    def plain(self) -> dict[str, Any]:
        """Sites remember the protocol themselves."""
        return {}

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Nothing of theirs is here."""


def roster_ids(roster: Roster) -> IntVector:
    """(n,) the clients' ids in the roster's order: their numbers, where numbers are their names, else their places."""
    names = [keyring.name_of(name) for name in roster.ids]
    numbers = [int(name) if name.isdecimal() else at for at, name in enumerate(names)]
    return np.array(numbers, np.int64)


class NetworkWire:
    """Carries one exchange's messages; the first to a client brings the task with it."""

    def __init__(self, field: NetworkField, task: Task, number: int) -> None:
        self.field, self.task, self.number = field, task, number
        self.away: set[int] = set()

    def send(self, messages: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        side, field_ = self.field.side, self.field
        by_client: dict[int, list[bytes]] = {}
        for index, message in messages:
            if index not in self.away:
                by_client.setdefault(int(field_.ids[index]), []).append(message)
        known = {client: said for client, said in by_client.items() if client in side.names}
        if not known:
            return
        index_of = {int(client): index for index, client in enumerate(field_.ids.tolist())}

        def body(name: str) -> Body:
            client = side.ids_of[name]
            said = known[client]
            arrays: dict[str, Array] = {f"{MESSAGE}{at}": np.frombuffer(m, np.uint8) for at, m in enumerate(said)}
            about: dict[str, Any] = {"messages": len(said), "number": self.number, "task": None}
            if any(message[5] == Open.TYPE for message in said):
                about["task"], more = field_.task(self.task, client)
                arrays |= more
            return Body("protocol", {**field_.head(client), **about}, arrays)

        def read(client: int, reply: Body) -> tuple[Body, list[bytes]]:
            count = int(reply.about["messages"])
            return reply, [np.asarray(reply.arrays[f"{MESSAGE}{at}"], np.uint8).tobytes() for at in range(count)]

        for client, (reply, answers) in side.ask([side.names[i] for i in known], body, read):
            index = index_of[client]
            if DROPPED in reply.about:
                field_.drop(client, str(reply.about[DROPPED]))
                self.away.add(index)
                continue
            if reply.about.get("lost"):
                if all(message[5] == Abort.TYPE for message in known[client]):
                    continue  # the round is over for it anyway
                side.say(f"network: {side.names[client]} lost the keys of the round with its node, and is out of it")
                self.away.add(index)
                continue
            field_.spent(index, reply.about["seconds"])
            if isinstance(self.task, Train):
                field_.trained(client)
            for message in answers:
                yield index, message
