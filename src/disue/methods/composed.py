"""A method made of five parts, each an answer to one question, named in the order of a round.

start      what does each client start from?
local      what does a client do with its start?
grouping   who belongs together?
aggregate  how do the members' updates become the group's model?
expert     what do all groups know together?
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from disue.core.checks import Float64, IntVector, Mask, Matrix, Vector
from disue.core.clients import Local, private_of
from disue.core.groups import UNKNOWN, Groups
from disue.core.method import (
    CLOSING,
    Aggregate,
    Assigned,
    Expert,
    Grouping,
    Info,
    Made,
    Making,
    Served,
    Start,
    Told,
    View,
    inherit,
)
from disue.core.orders import Orders, Report, Sight, origin_of
from disue.core.uploads import Uploads
from disue.core.world import World
from disue.parts.grouping.floor import Floor
from disue.parts.start import FromGroup

G = TypeVar("G")
A = TypeVar("A")
E = TypeVar("E")

SURVEY = "survey"


@dataclass(frozen=True, eq=False)
class State(Generic[G, A, E]):
    """What the next round needs. Rows of `models` follow `groups.numbers`."""

    round: int
    groups: Groups
    models: Matrix
    average: Vector
    expert: Vector | None
    grouping: G
    aggregate: A
    experts: E

    def view(self) -> View:
        return View(self.round, self.groups, self.models, self.average, self.expert)


@dataclass(frozen=True)
class Composed(Generic[G, A, E]):
    """Five parts together are a method; see `disue.parts` for the answers that are shipped."""

    start: Start
    local: Local
    grouping: Grouping[G]
    aggregate: Aggregate[A]
    expert: Expert[E]
    floor: Floor = Floor()  # how many members a group's sum is made of at least

    @property
    def sight(self) -> frozenset[Sight]:
        return self.start.sight | self.grouping.sight | self.aggregate.sight | self.expert.sight

    @property
    def keeps(self) -> int:
        """Vectors (d,) of float32 that a client keeps to itself; parts that say nothing keep none."""
        return sum(int(getattr(part, "keeps", 0)) for part in (self.start, self.local))

    @property
    def additive(self) -> bool:
        """Whether the model must be additive, the sum of a shared and a group's own branch: a part speaks of these."""
        return any(getattr(part, "additive", False) for part in (self.local, self.grouping, self.aggregate))

    @property
    def blends(self) -> bool:
        """Whether clients may start from a blend with an expert: their start is a group's model, whole."""
        return not self.additive and bool(getattr(self.start, "blends", True))

    @property
    def report(self) -> Report:
        return Report(
            sight=self.sight,
            parts=self.grouping.parts,
            weights=self.aggregate.weights,
            choice=self.start.choice,
            extras=(*getattr(self.aggregate, "extras", ()), *getattr(self.grouping, "beside", ())),
            about=getattr(self.grouping, "about", "start"),
        )

    def init(self, world: World, start: Vector) -> Told[State[G, A, E]]:
        first: Assigned[G] = self.grouping.init(world)
        models = np.repeat(start[None, :], max(first.groups.numbers.size, 0), axis=0)
        fresh = getattr(self.start, "fresh", False)  # k-model methods start their groups apart
        for row in range(1, models.shape[0]) if fresh else ():
            models[row] = world.fresh(row - 1)
        models = self._tied(world, models, start)
        state = State(
            0,
            first.groups,
            models,
            start,
            start if self.expert.serves else None,
            first.memory,
            self.aggregate.init(world, start, first.groups),
            self.expert.init(world, start),
        )
        return self._next(world, state, first.info)

    def _tied(self, world: World, models: Matrix, start: Vector) -> Matrix:
        """Groups' models with the entries in common that the aggregate keeps alike in all groups."""
        tied = self._alike(world)
        return models if tied is None else np.where(tied, start, models)

    def _alike(self, world: World) -> Mask | None:
        """(d,) the entries that an aggregate with a `tied` keeps alike in all groups."""
        tied = getattr(self.aggregate, "tied", None)
        return None if tied is None else np.asarray(tied(world.layout), bool)

    def _survey(self, world: World, state: State[G, A, E]) -> Orders | None:
        """One epoch of the clients that the grouping wants to see, from the vector that all share.

        What a grouping may say of it: `epochs`, how many passes (0: what is done in a round); `survey_from` "group":
        from their groups' models; a `probe`, answered by those who have no group yet, without any training, and its
        `extras`.
        """
        ids = self.grouping.survey(world, state.round)
        probe = getattr(self.grouping, "probe", None)
        if ids is not None and probe is not None:
            ids = ids[state.groups.at(ids) == UNKNOWN]
        if ids is None or not ids.size:
            return None
        if getattr(self.grouping, "survey_from", "") == "group":
            chosen = FromGroup().choose(world, state.view(), ids)
            starts, which = chosen.starts, chosen.which
        else:
            start = state.average  # which is what a share of 0 leaves of an expert
            if state.expert is not None and not self._for_use and getattr(self.start, "share", 0.0) > 0:
                start = state.expert
            starts, which = start[None, :], np.zeros((ids.size, 1), np.int64)
        local, epochs = self.local.at(state.round), getattr(self.grouping, "epochs", 1)
        return Orders(
            round=state.round,
            ids=ids,
            starts=starts,
            which=which,
            origin=origin_of(starts),
            local=None if probe is not None else local.brief(epochs) if epochs else local,
            probe=probe,
            report=Report(
                sight=self.grouping.sight,
                parts=self.grouping.parts,
                weights=getattr(self.grouping, "weights", "samples"),
                extras=(*getattr(self.grouping, "extras", ()), *getattr(self.grouping, "beside", ())),
                about=getattr(self.grouping, "about", "start"),
            ),
            stream=SURVEY,
        )

    def ask(self, world: World, state: State[G, A, E], cohort: IntVector) -> Orders:
        if self._done(state):
            cohort = cohort[:0]
        chosen = self.start.choose(world, state.view(), cohort)
        report, idle = self.report, getattr(self.grouping, "idle", None)
        if idle is not None and idle(state.groups, state.grouping, state.round, cohort):
            seen = self.start.sight | self.aggregate.sight | self.expert.sight
            report = replace(report, sight=seen, parts=())
        down = getattr(self.aggregate, "down", None)  # what an aggregate sends beside the models (SCAFFOLD's c)
        trained = chosen.starts[np.unique(chosen.which if chosen.into is None else chosen.into)]
        return Orders(
            round=state.round,
            ids=cohort,
            starts=chosen.starts,
            which=chosen.which,
            into=chosen.into,
            own=chosen.own,
            origin=origin_of(trained) if self.start.common(state.view()) else None,
            extras={} if down is None else down(state.aggregate),
            local=self.local.at(state.round),
            report=report,
            shares=self._known(state, cohort),
            tied=self._alike(world) if chosen.into is None else None,
        )

    def _known(self, state: State[G, A, E], cohort: IntVector) -> Float64 | None:
        """(n, c) clients' shares over the groups as far as a grouping with a `known` need not ask for them."""
        known = getattr(self.grouping, "known", None)
        if known is None or self.start.choice != "shares":
            return None
        return np.asarray(known(state.grouping, state.round, cohort), np.float64)

    def tell(self, world: World, state: State[G, A, E], orders: Orders, uploads: Uploads) -> Told[State[G, A, E]]:
        survey = orders.stream == SURVEY
        if orders.stream == CLOSING:
            return self._closed(world, state, uploads)
        if not uploads.ids.size:
            why = "nobody answered, nothing changed" if orders.ids.size else ""
            note = Info(notes=(f"round {state.round}: {why}",) if why else ())
            return Told(state, note) if survey else self._next(world, replace(state, round=state.round + 1), note)
        assigned = self.grouping.assign(world, state.groups, state.grouping, orders, uploads, survey=survey)
        groups = assigned.groups
        if survey:
            models = inherit(state.models, state.groups, groups, state.average)
            return Told(replace(state, groups=groups, models=models, grouping=assigned.memory), assigned.info)
        common = self.start.common(state.view()) and orders.origin is not None
        known = inherit(state.models, state.groups, groups, state.average) if self.floor.members > 1 else state.models
        counted, floor = self.floor.counted(groups, known, state.average, uploads.ids)
        merged = self.aggregate.merge(world, state.aggregate, state.view(), counted, orders, uploads, common=common)
        making = Making(
            state.round,
            orders.origin if common else None,
            state.view(),
            counted.among(uploads.ids),
            merged.models,
            merged.average,
            uploads,
        )
        began = time.perf_counter()
        made = self.expert.make(world, state.experts, making)
        took = Info({"seconds_expert": time.perf_counter() - began})
        after = State(
            state.round + 1,
            groups,
            merged.models,
            merged.average,
            made.expert,
            assigned.memory,
            merged.memory,
            made.memory,
        )
        return self._next(world, after, assigned.info + floor + merged.info + made.info + took)

    @property
    def _for_use(self) -> bool:
        return bool(getattr(self.expert, "for_use", False))

    def _done(self, state: State[G, A, E]) -> bool:
        """Whether nobody trains any more, as in one-shot methods."""
        done = getattr(self.expert, "done", None)
        return done is not None and bool(done(state.round, state.experts))

    def _next(self, world: World, state: State[G, A, E], info: Info) -> Told[State[G, A, E]]:
        """The state after a round, with what the expert still asks, else the survey that is due before the next."""
        ask = getattr(self.expert, "closing", None)
        closing: Orders | None = None if ask is None else ask(world, state.round, state.average)
        return self._surveyed(world, state, info) if closing is None else Told(state, info, closing)

    def _surveyed(self, world: World, state: State[G, A, E], info: Info) -> Told[State[G, A, E]]:
        return Told(state, info, self._survey(world, state) if state.round < world.rounds else None)

    def _closed(self, world: World, state: State[G, A, E], uploads: Uploads) -> Told[State[G, A, E]]:
        """The expert made of the answers to its own exchange; as it was where nobody answered."""
        if not uploads.ids.size:
            note = f"round {state.round}: nobody answered the expert's exchange, it stays as it is"
            return self._surveyed(world, state, Info(notes=(note,)))
        groups = state.groups.among(uploads.ids)
        view = state.view()
        making = Making(state.round, state.average, view, groups, state.models, state.average, uploads)
        began = time.perf_counter()
        made: Made[E] = self.expert.close(world, state.experts, making)  # type: ignore[attr-defined]
        took = Info({"seconds_expert": time.perf_counter() - began})
        after = replace(state, expert=made.expert, experts=made.memory)
        return self._surveyed(world, after, made.info + took)

    def serve(self, world: World, state: State[G, A, E], ids: IntVector) -> Served:
        """Rows: the groups' models, then the average, then the expert where there is one."""
        chosen = self.start.choose(world, state.view(), ids)
        base = state.models.shape[0]
        extra = [state.average] + ([] if state.expert is None else [state.expert])
        known = np.concatenate([state.models, np.stack(extra)])
        numbers = state.groups.at(ids)
        group = np.where(numbers == UNKNOWN, base, state.groups.rows(numbers))
        group = np.where(group < 0, base, group)
        into = chosen.which if chosen.into is None else chosen.into
        several = into.shape[1] > 1
        column = np.clip(state.groups.rows(numbers), 0, into.shape[1] - 1) if several else 0
        received = into[np.arange(ids.size), column]
        rows, inverse = np.unique(received, return_inverse=True)
        models = np.concatenate([known, chosen.starts[rows]])
        receives = known.shape[0] + inverse.reshape(-1).astype(np.int64)
        if several:
            # A client with several candidates receives them all; what it uses is its own group's, or what
            # is trained from it. One that has not chosen yet uses what all groups know together.
            receives = group if chosen.into is None else receives
            receives = np.where(group == base, known.shape[0] - 1, receives)
        if state.expert is None and getattr(self.aggregate, "sends_other", False):
            # what is sent is no model to use (FedDyn's is the average and a correction): the average is
            receives, group = np.full(ids.size, base), np.full(ids.size, base)
        if state.expert is not None and self._for_use:
            receives = np.full(ids.size, base + 1)
        return Served(
            models,
            receives,
            group,
            expert=base + 1 if state.expert is not None else None,
            average=base if state.expert is not None else None,
            scale=self.expert.head_scale(state.experts) if state.expert is not None else 1.0,
            whole=not private_of(self.local, world.layout).any(),
        )

    def standing(self, state: State[G, A, E]) -> Groups:
        return state.groups
