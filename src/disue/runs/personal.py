"""The models that clients use themselves, where their local part makes them (`core.clients.Personal`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from disue.core.checks import IntVector, Vector
from disue.core.clients import Memory, personal_of
from disue.core.orders import Orders, Report
from disue.engine.engine import Engine
from disue.engine.staff import PERSONAL
from disue.runs.setup import Setup


def personal_models(engine: Engine, setup: Setup, state: Any, ids: IntVector) -> dict[int, Vector]:
    """id → its own model: made of what the client would receive now and of its memory; {} where there is none.

    One whose model is not finite is left out. No memory, no stream of training and no figure of cost is touched.
    """
    if personal_of(setup.method.local) is None:
        return {}
    return made(engine, setup, setup.method.ask(setup.world, state, ids))


def made(
    engine: Engine, setup: Setup, orders: Orders, memories: Mapping[int, Memory] | None = None
) -> dict[int, Vector]:
    """The same of the clients of some orders, holding `memories` where they are given."""
    return dict(engine.answer(setup.world, trial(orders), memories=memories).ends)


def trial(orders: Orders) -> Orders:
    """The exchange in which clients make their own models, of which nothing is kept."""
    return replace(
        orders,
        local=personal_of(orders.local),
        report=Report(choice=orders.report.choice),
        stream=PERSONAL,
    )
