"""Checks of who is who: places, names, order, absence; and that nothing given is changed."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from disue.core.checks import IntVector
from disue.core.orders import Orders
from disue.engine.plain import PlainUploads
from disue.testing.compare import difference, parted
from disue.testing.play import Bed, trace, usual
from disue.testing.require import alike, require
from disue.testing.subject import Subject


def places(subject: Subject, backend: str) -> None:
    """Clients at other places of the federation's table give the same bits: ids are no positions."""
    turned = trace(subject, subject.scenario.turned(), backend=backend)
    alike(parted(usual(subject, backend), turned), "with the clients at other places the run differs")


def names(subject: Subject, backend: str) -> None:
    """Clients under other names, in the same order, give the same bits up to the names.

    Random streams are keyed by a client's id, so a renamed client would draw other numbers. The streams here go on
    giving it those of its old name: what is left of the name is its rank, and that stays.
    """
    other = subject.scenario.renamed()
    why = parted(usual(subject, backend), trace(subject, other, backend=backend), other.names)
    alike(why, "with the clients renamed the run differs")


def order(subject: Subject, backend: str) -> None:
    """The order in which a cohort is given does not matter."""

    def mixed(cohort: IntVector) -> IntVector:
        return np.ascontiguousarray(np.roll(cohort[::-1], 2))

    other = list(Bed(subject, backend=backend).rounds(mixed))
    alike(parted(usual(subject, backend), other), "with the cohort in another order the run differs")


def absent(subject: Subject, backend: str) -> None:
    """Who was not asked or did not answer keeps its group and its memory."""
    scenario = replace(subject.scenario, share=0.5, dropout=0.3, rounds=max(4, subject.scenario.rounds))
    bed = Bed(subject, scenario, backend=backend)
    seen = list(bed.rounds())
    away = 0
    for before, after in pairwise(seen):
        for client in sorted(set(bed.world.census.ids.tolist()) - after.answered):
            one = np.array([client], np.int64)
            old, new = int(before.groups.at(one)[0]), int(after.groups.at(one)[0])
            where = f"in round {after.round} client {client} did not answer"
            require(old == new, f"{where}, and was moved from group {old} to {new}")
            mine, yours = (dict(one.memories.get(client, {})) for one in (before, after))
            alike(difference(mine, yours, "memory"), f"{where}, and keeps something else")
            away += 1
    require(away > 0, "nobody was absent, so nothing was checked: the method asks all clients in every round")


def untouched(subject: Subject, backend: str) -> None:
    """`init`, `ask`, `tell` and `serve` change nothing that they are given; the same state gives the same orders."""
    bed = Bed(subject, backend=backend)
    start = bed.setup.start.copy()
    told = bed.method.init(bed.world, bed.setup.start)
    alike(difference(bed.setup.start, start, "start"), "`init` changed what it was given")
    state = _told(bed, told, 0).state
    for round in range(bed.scenario.rounds):
        cohort = bed.cohort(round)
        kept = copy.deepcopy((state, cohort))
        orders = bed.method.ask(bed.world, state, cohort)
        again = bed.method.ask(bed.world, state, cohort)
        alike(difference((state, cohort), kept, "given"), f"`ask` changed what it was given in round {round}")
        alike(difference(orders, again, "orders"), f"the same state gave other orders in round {round}")
        told = _asked(bed, state, orders, bed.exchange(round)(orders))
        state = _told(bed, told, round).state
        kept_state, ids = copy.deepcopy(state), bed.world.census.ordered
        bed.method.serve(bed.world, state, ids)
        alike(difference(state, kept_state), f"`serve` changed what it was given after round {round}")
    census, fresh = bed.world.census, Bed(subject, backend=backend).world.census
    for name in ("ids", "sizes"):
        alike(difference(getattr(census, name), getattr(fresh, name), name), "the method changed the census")


def _told(bed: Bed, told: Any, round: int) -> Any:
    """`told` after its further exchanges, each watched."""
    while told.then is not None:
        told = _asked(bed, told.state, told.then, bed.exchange(round)(told.then))
    return told


def _asked(bed: Bed, state: Any, orders: Orders, uploads: PlainUploads) -> Any:
    """What `tell` makes of the answers, which must be as they were."""
    kept = copy.deepcopy((state, orders, uploads.ends, uploads.extras))
    told = bed.method.tell(bed.world, state, orders, uploads)
    now = (state, orders, uploads.ends, uploads.extras)
    alike(difference(now, kept, "given"), f"`tell` changed what it was given in round {orders.round}")
    return told
