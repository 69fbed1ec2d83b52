"""What an exchange costs: bytes down and up, and the clients' seconds. Counted as a network would send it.

Entries that stay at the client are sent neither down nor up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from disue.core.checks import Array, IntVector, Mask, Vector, digest
from disue.core.clients import private_of
from disue.core.orders import Orders, Sight
from disue.core.world import World
from disue.engine.answers import Answer

FLOAT, COUNT = 4, 8  # bytes of a number: floats and moments as float32, counts as int64


class Traffic:
    """Each distinct vector goes once to each client, its tied entries with the first; of a symmetric matrix, half.

    width   bytes of a number of an update      aside   bytes that go with it
    """

    def __init__(self, world: World, orders: Orders, width: int = FLOAT, aside: int = 0) -> None:
        self.world, self.orders, self.width, self.aside = world, orders, width, aside
        self.down = self.up = 0
        self.seconds = 0.0
        self._sent: dict[int, set[str]] = {}
        self._names: dict[int, str] = {}
        self._labels = False
        self._blind = orders.local is None and not getattr(orders.probe, "model", True)
        self._shared = ~private_of(orders.local, world.layout)  # entries that travel at all
        self._told = orders.told()
        self._untied = self._shared if orders.tied is None else self._shared & ~orders.tied

    def start(self, client: int, rows: Sequence[int]) -> None:
        """The vectors that a client is sent, as rows of the orders' starts; and the extras.

        None where it trains nothing and its probe looks at its data alone.
        """
        if self._blind:
            rows = ()
        sent = self._sent.setdefault(client, set())
        for row in dict.fromkeys(rows):
            if row not in self._names:
                self._names[row] = digest(self.orders.starts[row])
            self._send(sent, self._names[row], self._untied if sent else self._shared)
        self.down += sum(_size(value) for value in self.orders.extras.values())
        self.down += FLOAT * self._told[client].size if client in self._told else 0

    def answer(self, answer: Answer) -> None:
        """A client's upload; and its seconds."""
        report = self.orders.report
        if self.orders.local is not None:
            numbers = self._update()
            self.up += self.width * numbers + (self.aside if numbers else 0)
        if report.choice != "none" and answer.id not in self._told:
            self.up += COUNT if report.choice == "loss" else FLOAT * answer.choice.size
        self.up += sum(_size(answer.extras[name]) for name in report.extras)
        self.seconds += answer.seconds

    def labels(self, ids: IntVector) -> None:
        """Label counts go up once in an exchange."""
        if not self._labels:
            self.up += COUNT * self.world.layout.classes * ids.size
            self._labels = True

    def moments(self, answers: Sequence[Answer], under: Vector | None, against: Vector | None, per_class: bool) -> None:
        """A vector to measure under goes down where the client does not hold it; moments go up."""
        classes, f = self.world.layout.classes, self.world.layout.features
        names = [digest(vector) for vector in (under, against) if vector is not None]
        numbers = classes * f + (classes if per_class else 1) * f * (f + 1) // 2
        if against is not None:
            numbers += (f + 1) * (f + 2) // 2 + (f + 1) * f
        for answer in answers:
            sent = self._sent.setdefault(answer.id, set())
            for name in names:
                self._send(sent, name, self._shared)
            self.up += COUNT * classes + FLOAT * numbers

    def _send(self, sent: set[str], name: str, entries: Mask) -> None:
        if name not in sent:
            sent.add(name)
            self.down += FLOAT * int(entries.sum())

    def _update(self) -> int:
        """Numbers of an update: the whole, or the parts compared where nothing else of it is asked for."""
        report, layout = self.orders.report, self.world.layout
        if report.sight & {Sight.SUMS, Sight.VECTORS}:
            return int(self._shared.sum())
        if not report.sight & {Sight.COSINE, Sight.GRAM}:
            return 0
        masks = [layout.mask(part) for part in report.parts]
        asked = np.any(masks, axis=0) if masks else np.ones(layout.d, bool)
        return int((asked & self._shared).sum())


def _size(value: Array) -> int:
    return int(np.size(value)) * (FLOAT if np.asarray(value).dtype.kind == "f" else COUNT)
