"""Identities between methods: equal bits, from the same seeds, on real data (digits)."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from disue.core.checks import digest
from disue.core.tree import take
from disue.runs.federate import Federate
from disue.runs.setup import prepare
from disue.runs.spec import Spec

BASE: dict[str, Any] = {
    "rounds": 3,
    "data": {"name": "digits"},
    "partition": {"clients": 12, "alpha": 0.2},
    "cohort": {"share": 0.5},
    "local": {"epochs": 1, "batch": 20, "lr": 0.05},
    "evaluate": {"every": 100},
}


def run(method: Mapping[str, Any], **changes: Any) -> Federate:
    tables = {**BASE, "method": dict(method), **changes}
    federate = Federate(prepare(Spec.of(tables)), None)
    for _ in federate:
        pass
    return federate


def average(method: Mapping[str, Any], **changes: Any) -> np.ndarray:
    return np.asarray(run(method, **changes).state.average)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


@pytest.fixture(scope="module")
def fedavg() -> np.ndarray:
    return average({"name": "fedavg"})


PLAIN = {"momentum": 0.0, "balance": 0.0}


@pytest.mark.parametrize(
    "method",
    [
        {"name": "disue", "k": 3, "aggregate": PLAIN, "expert": {"enabled": False}},
        {"name": "disue", "k": 3, "aggregate": PLAIN, "expert": {"blend": 0.0}},
        {"name": "disue-one", "aggregate": PLAIN, "expert": {"enabled": False}},
        {"name": "disue-generator", "expert": {"enabled": False}},
        {"name": "disue-generator", "expert": {"iterations": 0}},
        {"name": "disue-generator", "expert": {"student_steps": 0}},
        {"name": "disue-generator", "expert": {"student_lr": 0.0, "iterations": 1}},
        {"name": "disue-generator", "k": 1},
        {"name": "clustered", "k": 1},
        {"name": "clustered", "grouping": {"kind": "one"}},
        {"name": "fedavg", "expert": {"kind": "average"}},
    ],
    ids=lambda m: "-".join([m["name"], *map(str, m.get("expert", {})), *map(str, m.get("grouping", {}))]),
)
def test_no_distillation_is_fedavg_bit_for_bit(method: Mapping[str, Any], fedavg: np.ndarray) -> None:
    assert same(average(method), fedavg)


def test_a_distillation_that_works_is_not_fedavg(fedavg: np.ndarray) -> None:
    """The control: the identities above would hold trivially if the D-phase never did anything."""
    for method in ({"name": "disue", "k": 3}, {"name": "disue-generator", "k": 3, "expert": {"iterations": 1}}):
        assert not same(average(method), fedavg)


def test_the_switched_off_expert_is_the_same_host_with_momentum_and_balance() -> None:
    off = average({"name": "disue", "k": 3, "expert": {"enabled": False}})
    still = average({"name": "disue", "k": 3, "expert": {"kind": "average"}})
    assert same(off, still)
    assert not same(off, average({"name": "disue", "k": 3}))


def test_one_group_with_momentum_is_fedavg_with_momentum() -> None:
    momentum = {"momentum": 0.7}
    ours = average({"name": "disue-one", "aggregate": {**momentum, "balance": 0.0}, "expert": {"enabled": False}})
    assert same(ours, average({"name": "fedavg", "aggregate": momentum}))


@pytest.mark.parametrize("k", [2, 4])
def test_share_zero_is_the_plain_clustered_method(k: int) -> None:
    host = run({"name": "clustered", "k": k})
    ours = run({"name": "clustered", "k": k, "expert": {"kind": "distil", "share": 0.0}})
    assert same(host.state.models, ours.state.models)
    assert host.state.groups == ours.state.groups
    assert ours.state.expert is not None


def test_alone_is_local_training() -> None:
    """Groups of one that start from their own model = clients that start from themselves."""
    alone = run({"name": "clustered", "grouping": {"kind": "alone"}})
    local = run({"name": "local"})
    assert same(alone.state.models, local.state.models)


def test_the_moments_expert_does_not_depend_on_the_groups() -> None:
    plain = {"momentum": 0.7, "balance": 0.0}
    one = run({"name": "disue-one", "aggregate": plain})
    many = run({"name": "disue", "k": 4, "aggregate": plain})
    assert one.state.expert is not None
    assert same(one.state.expert, many.state.expert)


def test_the_order_of_the_cohort_does_not_matter() -> None:
    federate = Federate(prepare(Spec.of({**BASE, "method": {"name": "disue", "k": 3}})), None)
    world, method = federate.setup.world, federate.setup.method
    from disue.core.rounds import finish

    def answer(orders: Any) -> Any:
        return federate.engine.answer(world, orders)

    state = finish(method, world, method.init(world, federate.setup.start), answer).state
    cohort = np.array([7, 2, 9, 4, 11], np.int64)
    ends = []
    for ids in (cohort, cohort[::-1].copy()):
        orders = method.ask(world, state, ids)
        ends.append(method.tell(world, state, orders, answer(orders)).state)
    assert fingerprint(ends[0]) == fingerprint(ends[1])


def test_ask_and_tell_leave_their_inputs_alone() -> None:
    federate = Federate(prepare(Spec.of({**BASE, "method": {"name": "disue", "k": 3}})), None)
    world, method = federate.setup.world, federate.setup.method
    told = method.init(world, federate.setup.start)
    orders = told.then
    assert orders is not None
    before = fingerprint(told.state)
    uploads = federate.engine.answer(world, orders)
    after = method.tell(world, told.state, orders, uploads).state
    assert fingerprint(told.state) == before
    before = fingerprint(after)
    orders = method.ask(world, after, np.array([1, 5, 3], np.int64))
    again = method.ask(world, after, np.array([1, 5, 3], np.int64))
    assert same(orders.starts, again.starts)
    kept = digest(orders.starts, orders.which, orders.ids)
    method.tell(world, after, orders, federate.engine.answer(world, orders))
    assert fingerprint(after) == before
    assert digest(orders.starts, orders.which, orders.ids) == kept


def fingerprint(state: object) -> str:
    arrays, skeleton = take(state)
    return digest(*(arrays[name] for name in sorted(arrays))) + repr(skeleton)


@pytest.mark.parametrize("name", ["fedavg", "clustered", "disue", "disue-generator", "local"])
def test_finite_in_finite_out(name: str) -> None:
    federate = run({"name": name, **({"k": 3} if "disue" in name or name == "clustered" else {})})
    arrays, _ = take(federate.state)
    assert all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f")


PROGRAM = """
import sys, torch
torch.set_num_threads(1)
sys.path.insert(0, "tests/methods")
from test_identities import run, fingerprint
print(fingerprint(run({"name": "disue", "k": 3}).state)[:64])
print(fingerprint(run({"name": "disue-generator", "k": 3, "expert": {"iterations": 1}}).state)[:64])
"""


def test_the_same_bits_in_fresh_processes_under_two_hash_seeds() -> None:
    import os

    outs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outs[0] == outs[1]
    assert len(outs[0].split()) == 2


def test_order_preserving_relabelling_relabels_the_result() -> None:
    """The same clients under other names in the same order. Streams hang on names, so they are renamed too."""
    import disue.core.streams as streams_module
    from disue.data import Partition

    spec = Spec.of({**BASE, "method": {"name": "disue", "k": 3}})
    plain = Federate(prepare(spec), None)
    for _ in plain:
        pass
    names = np.array([17, 902, 4001, 4002, 5000, 7001, 7003, 8100, 9009, 9999, 12000, 31337], np.int64)
    old = {int(name): at for at, name in enumerate(names)}
    found = plain.setup.partition
    renamed: Partition = dataclasses.replace(found, ids=names)

    class Renamed(streams_module.Streams):
        """Gives a renamed client the stream of its old name."""

        def key(self, name: str, *numbers: int) -> int:
            return super().key(name, *(old.get(int(n), int(n)) for n in numbers))

    setup = prepare(spec, None, renamed)
    streams = Renamed(spec.seed)
    world = dataclasses.replace(setup.world, streams=streams)
    federation = dataclasses.replace(setup.federation, streams=streams)
    other = Federate(dataclasses.replace(setup, world=world, federation=federation), None)
    for _ in other:
        pass
    assert same(plain.state.expert, other.state.expert)
    assert same(plain.state.models, other.state.models)
    assert {int(names[i]): g for i, g in plain.state.groups.as_dict().items()} == other.state.groups.as_dict()
