"""A method at work on a scenario: rounds as the simulator plays them, with everything kept that a check looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from disue.core.checks import Array, IntVector
from disue.core.groups import Groups
from disue.core.orders import Orders
from disue.core.rounds import draw_cohort, finish
from disue.core.world import Census
from disue.engine.availability import answering
from disue.engine.engine import Engine
from disue.engine.memory import BUDGET, MemoryStore
from disue.engine.plain import PlainUploads
from disue.runs.simulation import Simulation, prepare
from disue.runs.spec import Spec
from disue.testing.scenario import Scenario
from disue.testing.subject import AnyMethod, Subject, fitted

BACKENDS = ("loop", "lean", "stacked", "native")
Memories = Mapping[int, Mapping[str, Array]]


@dataclass(frozen=True, eq=False)
class Seen:
    """A round as it was: `asked` and `answered` are of all its exchanges; round 0 is before any training."""

    round: int
    state: Any
    groups: Groups
    asked: frozenset[int]
    answered: frozenset[int]
    memories: Memories


def set_up(scenario: Scenario, method: AnyMethod, backend: str, **tables: Any) -> Simulation:
    """A run of the method on the scenario, ready to begin. The spec's own method is not used."""
    dataset, partition = scenario.data()
    spec = Spec.of({**scenario.tables(), "engine": {"backend": backend, "workers": 1}, **tables})
    setup = prepare(spec, None, partition, dataset=dataset, method=method, streams=scenario.streams())
    ids = setup.federation.ids
    # a run sorts its census; a method may be given ids in any order, and here it is
    census = Census(ids, setup.federation.sizes_of(ids), setup.world.census.classes)
    return replace(setup, world=replace(setup.world, census=census))


class Bed:
    """A fresh method, world and engine. `answer` is the clients' work of one exchange; a check may replace it."""

    def __init__(
        self,
        subject: Subject,
        scenario: Scenario | None = None,
        *,
        backend: str = "lean",
        double: bool = False,
        budget: int = BUDGET,
        method: AnyMethod | None = None,
    ) -> None:
        self.scenario = subject.scenario if scenario is None else scenario
        made = subject.fresh(self.scenario) if method is None else fitted(method, self.scenario)
        self.setup = set_up(self.scenario, made, backend)
        self.method, self.world = self.setup.method, self.setup.world
        self.engine = self.engine_of(backend, double=double, budget=budget)
        self.answer: Callable[[Orders, IntVector], PlainUploads] = self.trained
        self.asked: set[int] = set()
        self.answered: set[int] = set()
        self.dropped: dict[int, str] = {}

    def engine_of(self, backend: str, *, double: bool = False, budget: int = BUDGET) -> Engine:
        return Engine(self.setup.federation, backend, memory=MemoryStore(budget), double=double, workers=1)

    def trained(self, orders: Orders, answering: IntVector) -> PlainUploads:
        """What the engine answers."""
        return self.engine.answer(self.world, orders, answering)

    def exchange(self, round: int) -> Callable[[Orders], PlainUploads]:
        """The door of a round: who is asked may drop out, and both are noted."""

        def answer(orders: Orders) -> PlainUploads:
            sizes = self.setup.federation.sizes_of(orders.ids)
            ids = answering(self.world.streams, round, orders.ids, sizes, dropout=self.scenario.dropout)
            uploads = self.answer(orders, ids)
            self.asked |= set(orders.ids.tolist())
            self.answered |= set(uploads.ids.tolist())
            self.dropped.update(uploads.dropped)
            return uploads

        return answer

    def first(self) -> Any:
        """The state before any training, after the survey where the method asks for one."""
        told = self.method.init(self.world, self.setup.start)
        return finish(self.method, self.world, told, self.exchange(0)).state

    def cohort(self, round: int) -> IntVector:
        return draw_cohort(self.world, round, self.setup.cohort)

    def play(self, round: int, state: Any, cohort: IntVector | None = None) -> Any:
        """The state after a round."""
        answer = self.exchange(round)
        asked = self.cohort(round) if cohort is None else cohort
        orders = self.method.ask(self.world, state, asked).check(self.world.layout)
        return finish(
            self.method, self.world, self.method.tell(self.world, state, orders, answer(orders)), answer
        ).state

    def memories(self) -> Memories:
        """id → what the client keeps, copied."""
        memory = self.engine.memory
        return {i: {name: np.array(value) for name, value in memory.get(i).items()} for i in memory.ids}

    def rounds(self, cohorts: Callable[[IntVector], IntVector] = lambda ids: ids) -> Iterator[Seen]:
        """Round 0 and all that follow. `cohorts` may put a cohort into another order."""
        state: Any = None
        for round in range(-1, self.scenario.rounds):
            self.asked, self.answered = set(), set()
            state = self.first() if round < 0 else self.play(round, state, cohorts(self.cohort(round)))
            yield self.seen(round + 1, state)

    def seen(self, round: int, state: Any) -> Seen:
        groups = self.method.standing(state)
        return Seen(round, state, groups, frozenset(self.asked), frozenset(self.answered), self.memories())


def trace(subject: Subject, scenario: Scenario | None = None, **given: Any) -> list[Seen]:
    """All rounds of the method on the scenario."""
    return list(Bed(subject, scenario, **given).rounds())


_known: dict[tuple[int, str], tuple[Subject, list[Seen]]] = {}


def usual(subject: Subject, backend: str) -> list[Seen]:
    """`trace` of the subject as it stands: several checks compare with it, so the last ones are kept."""
    key = (id(subject), backend)
    if key not in _known:
        while len(_known) >= 8:
            del _known[next(iter(_known))]
        _known[key] = subject, trace(subject, backend=backend)
    return _known[key][1]
