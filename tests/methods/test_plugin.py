"""An expert in one line on every clustered method: what changes, and what share 0 leaves as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from methods_bed import run

from disue.methods import Composed
from disue.methods.plugin import with_expert
from disue.methods.table import CLUSTERED
from disue.parts.expert import Distil
from disue.runs.federate import Federate
from disue.runs.spec import Spec

HOSTS = [name for name in CLUSTERED if Spec.of({"method": {"name": name}}).build().blends]


def federated(name: str, **expert: Any) -> Federate:
    table: dict[str, Any] = {"expert": {"kind": "distil", **expert}} if expert else {}
    return run(rounds=2, partition={"clients": 12, "alpha": 0.3}, cohort={"share": 0.5}, method={"name": name, **table})


@pytest.mark.parametrize("name", HOSTS)
def test_share_0_is_the_host_bit_for_bit(name: str) -> None:
    host, plugged = federated(name).state, federated(name, share=0.0).state
    assert np.array_equal(host.models, plugged.models) and np.array_equal(host.average, plugged.average)
    assert host.groups.as_dict() == plugged.groups.as_dict()
    assert host.expert is None and not np.array_equal(plugged.expert, plugged.average)


@pytest.mark.parametrize("name", HOSTS)
def test_with_share_1_everybody_trains_from_the_expert(name: str) -> None:
    at = federated(name, share=1.0)
    method, world = at.setup.method, at.setup.world
    orders = method.ask(world, at.state, world.census.ordered)
    into = orders.which if orders.into is None else orders.into
    assert (orders.starts[np.unique(into)] == at.state.expert).all()
    served = method.serve(world, at.state, world.census.ordered)
    assert (served.models[served.receives] == at.state.expert).all()


@pytest.mark.parametrize("name", HOSTS)
def test_one_line_and_one_table_are_the_same_method(name: str) -> None:
    host: Composed[Any, Any, Any] = Spec.of({"method": {"name": name}}).build()
    table = {"method": {"name": name, "expert": {"kind": "distil", "gamma": 0.2}}}
    assert with_expert(host, Distil(gamma=0.2)) == Spec.of(table).build()
