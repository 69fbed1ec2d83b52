"""One round, and the exchanges that may follow it: ask → the clients' work → tell, until nothing is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from disue.core.checks import IntVector
from disue.core.errors import UserError
from disue.core.lots import Lots
from disue.core.method import Info, Method, Told
from disue.core.orders import Orders
from disue.core.uploads import Door, Uploads
from disue.core.world import Census, World

S = TypeVar("S")
Answer = Callable[[Orders], Uploads]  # an engine bound to its clients, or a network


def draw_cohort(world: World, round: int, size: int, lots: Lots | None = None) -> IntVector:
    """`size` ids without repetition from the stream `cohort`, ascending; with lots, whole lots of about as many."""
    ids = world.census.ordered
    rng = world.streams("cohort", round)
    if lots is None:
        return np.sort(rng.choice(ids, size=min(size, ids.size), replace=False))
    wanted = max(1, int(np.rint(size * lots.count / ids.size)))
    return lots.among(np.sort(rng.choice(lots.count, size=min(wanted, lots.count), replace=False)))


def finish(method: Method[S], world: World, told: Told[S], answer: Answer) -> Told[S]:
    """Runs the further exchanges that `told` asks for; what they say is added up."""
    info = told.info
    while told.then is not None:
        orders = told.then
        told = method.tell(world, told.state, orders, answer(orders.check(world.layout)))
        info = info + told.info
    return Told(told.state, info, None)


def play(method: Method[S], world: World, state: S, cohort: IntVector, answer: Answer) -> Told[S]:
    """A whole round."""
    orders = method.ask(world, state, cohort).check(world.layout)
    return finish(method, world, method.tell(world, state, orders, answer(orders)), answer)


def refuse(method: Method[S], door: Door, name: str) -> None:
    """Raises where the method must see more than the door offers."""
    lacking = sorted(method.sight - door.offers)
    if lacking:
        offered = ", ".join(sorted(door.offers))
        raise UserError(
            f'method "{name}" must see {", ".join(lacking)}; the {door.name} door shows only {offered}.',
            key="method.name",
        )


__all__ = ["Answer", "Census", "Info", "draw_cohort", "finish", "play", "refuse"]
