"""What clients have to say in an exchange of the protected protocol, and what came to them outside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from disue.core.checks import Array, Float64, IntVector, Vector
from disue.core.layout import WHOLE, Layout
from disue.core.orders import Orders, common_of
from disue.core.triangles import packed
from disue.core.world import World
from disue.engine.answers import Answer
from disue.runs.privacy import Privacy
from disue.secure.client.local import Inputs, Policy, Received
from disue.secure.server import sections
from disue.secure.wire.opening import Open
from disue.secure.wire.tasks import Count, Measure, Task, Train

if TYPE_CHECKING:
    from disue.engine.chores import Measuring
    from disue.engine.measure import ClientMoments


class Bring(Protocol):
    """What clients have to say in an exchange."""

    def inputs(self, client: int, opened: Open) -> Inputs: ...


class Measures(Protocol):
    """Who measures moments: an engine."""

    def measure(self, asked: Measuring, round: int = 0) -> Iterator[tuple[int, ClientMoments, float]]: ...


class Trained:
    """sketched  id → the end whose update it has sketched, of those who sum another"""

    def __init__(
        self,
        layout: Layout,
        orders: Orders,
        answers: Mapping[int, Answer],
        sketched: Mapping[int, Vector] | None = None,
    ) -> None:
        self.layout, self.orders, self.answers, self.sketched = layout, orders, answers, sketched or {}
        self.common = common_of(orders)

    def inputs(self, client: int, opened: Open) -> Inputs:
        answer, report = self.answers[client], self.orders.report
        about = self.common if report.about == "common" else answer.start
        update = (self.sketched.get(client, answer.end) - about) if opened.slices else np.zeros(0, np.float32)
        columns = [self.layout.mask(part) for part in report.parts or (WHOLE,)] if opened.slices else []
        weight = float(answer.size) if report.weights == "samples" else 1.0
        # about one vector that everybody knows: where sums are of plain ends, the server adds it again
        moved = weight * (answer.end.astype(np.float64) - self.common)
        values: list[Float64] = [np.array([weight]), np.array([1.0]), moved]
        values += [weight * np.asarray(answer.extras[name], np.float64).reshape(-1) for name in report.extras]
        chosen = int(np.argmax(answer.choice)) if report.choice != "none" else None
        return Inputs([np.ascontiguousarray(update[mask]) for mask in columns], values, choice=chosen)


class Counted:
    def __init__(self, labels: Mapping[int, IntVector]) -> None:
        self.labels = labels

    def inputs(self, client: int, opened: Open) -> Inputs:
        own = self.labels[client].astype(np.float64)
        return Inputs(sections=[(own > 0).astype(np.float64)], second=lambda holders: [own])


class Measured:
    """All of a lot measure at once, without the classes that too few of them hold."""

    def __init__(
        self, world: World, engine: Measures, task: Measure, here: list[int], labels: Mapping[int, IntVector]
    ) -> None:
        self.world, self.engine, self.task, self.here, self.labels = world, engine, task, here, labels
        self._found: dict[bytes, dict[int, ClientMoments]] = {}
        self.seconds: dict[int, float] = {}

    def of(self, client: int, held: IntVector) -> ClientMoments:
        key = held.tobytes()
        if key not in self._found:
            from disue.engine.chores import Measuring

            task, layout = self.task, self.world.layout
            under, without = dict.fromkeys(self.here, task.under), dict.fromkeys(self.here, held)
            asked = Measuring(self.world.network, layout.classes, under, task.against, task.per_class, without)
            self._found[key] = {}
            for who, moments, seconds in self.engine.measure(asked):
                self._found[key][who] = moments
                self.seconds[who] = self.seconds.get(who, 0.0) + seconds
        return self._found[key][client]

    def inputs(self, client: int, opened: Open) -> Inputs:
        holds = (self.labels[client] > 0).astype(np.float64)

        def second(holders: IntVector) -> list[Float64]:
            held = np.flatnonzero((holders > 0) & (holders < opened.min_class)).astype(np.int64)
            one = self.of(client, held)
            said = [one.counts.astype(np.float64), one.sums.reshape(-1), packed(one.second)]
            if one.xx is not None and one.xy is not None:
                said += [packed(one.xx), one.xy.reshape(-1)]
            return said

        return Inputs(sections=[holds], second=second)


def policy(privacy: Privacy) -> Policy:
    """The weakest round that a client of this run takes part in."""
    return Policy(
        min_group=privacy.min_group,
        min_cell=privacy.min_group if privacy.strict else 1,
        min_class=privacy.class_floor,
        min_lot=2 * privacy.min_group,
        consistency=privacy.consistency,
        epsilon=privacy.epsilon,
    )


def received(layout: Layout, client: int, task: Task, hashed: Callable[[Array], bytes]) -> Received:
    """What came to a client outside the protocol, by `hashed`."""
    if isinstance(task, Train):
        orders = task.orders
        which = orders.which[int(np.searchsorted(orders.ids, client))]
        parts = sections.fingerprint(layout, orders.report.parts or (WHOLE,))
        starts = () if orders.own else tuple(hashed(orders.starts[row]) for row in which.tolist())
        return Received(parts, hashed(common_of(orders)), starts)
    vector = hashed(np.zeros(layout.d, np.float32) if isinstance(task, Count) else task.under)
    return Received(sections.fingerprint(layout), vector, (vector,))
