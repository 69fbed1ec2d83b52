"""CAM: the sum by hand, branches merged apart, what is left where one of them is silent, planted groups, bytes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from methods_bed import BASE, metrics, run

import disue
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import HEAD, OWN, SHARED
from disue.core.method import View
from disue.methods import fesem_cam, ifca_cam, with_expert
from disue.parts.aggregate import SharedMean
from disue.parts.expert import Distil
from disue.parts.local import Branches
from disue.runs.setup import Setup
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import prepare
from disue.runs.spec import Spec
from disue.runs.threads import one_thread
from fakes import answer, orders, vec, world

TOGETHER = {**BASE["local"], "order": "together"}


def set_up(**tables: Any) -> Setup:
    return prepare(Spec.of({**BASE, **tables}))


def branch(setup: Setup, vector: np.ndarray, part: Any) -> np.ndarray:
    """The tensors of a branch, statistics too."""
    return vector[setup.world.layout.mask(replace(part, kind="any"))]


# -- the model -----------------------------------------------------------------------------------------


@pytest.mark.hand("ifca-cam", "fesem-cam")
def test_the_prediction_is_that_of_the_sum() -> None:
    """h = (1, 0, …), f = (−2, 0, …): the sum (−1, 0, …) says another class."""
    setup = set_up(method={"name": "ifca-cam"}, model={"name": "mlp", "hidden": []})
    layout, vector = setup.world.layout, setup.start.copy()
    vector[layout.mask(SHARED)] = vector[layout.mask(OWN)] = 0
    layout.tensor(vector, "shared.head.bias")[0], layout.tensor(vector, "own.head.bias")[0] = 1.0, -2.0
    logits = setup.network.logits(vector, np.zeros((1, 1, 8, 8), np.float32))
    assert logits.tolist() == [[-1.0] + [0.0] * 9]


def test_the_start_is_the_plain_model_and_further_draws_speak() -> None:
    ours, plain = set_up(method={"name": "ifca-cam"}), set_up(method={"name": "fedavg"})
    x = ours.federation.train(int(ours.ids[0]))[0]
    assert np.array_equal(branch(ours, ours.start, SHARED), plain.start)
    assert np.array_equal(ours.network.logits(ours.start, x), plain.network.logits(plain.start, x))
    draws = [ours.start, ours.world.fresh(0), ours.world.fresh(1)]
    owns = [branch(ours, vector, OWN) for vector in draws]
    assert all(not np.array_equal(a, b) for a, b in pairwise(owns))
    assert not ours.world.layout.mask(HEAD).any() and ours.world.layout.d == 2 * plain.world.layout.d + 110


def test_all_groups_start_with_one_shared_branch() -> None:
    setup = set_up(method={"name": "ifca-cam", "k": 3})
    models = setup.method.init(setup.world, setup.start).state.models
    assert np.unique(models[:, setup.world.layout.mask(SHARED)], axis=0).shape[0] == 1
    assert np.unique(models[:, setup.world.layout.mask(OWN)], axis=0).shape[0] == 3
    x = setup.federation.train(int(setup.ids[0]))[0]
    said = [setup.network.logits(model, x) for model in models]
    assert all(not np.allclose(a, b, atol=1e-3) for a, b in (said[:2], said[1:], said[::2]))


# -- the server ----------------------------------------------------------------------------------------


@pytest.mark.hand("ifca-cam", "fesem-cam")
def test_branches_are_merged_apart() -> None:
    """Ends 1, 3 and 8 of sizes 1, 1 and 2, the first two in group 0; group 2 has nobody."""
    at = world((4001, 17, 902), 6)
    groups = Groups.make({4001: 0, 17: 0, 902: 1}, numbers=[0, 1, 2])
    asked = orders((4001, 17, 902), np.zeros(6, np.float32))
    ends = {i: vec(*[value] * 6) for i, value in ((4001, 1.0), (17, 3.0), (902, 8.0))}
    came = answer(asked, ends, at.layout, sizes={4001: 1, 17: 1, 902: 2})
    part, zero = SharedMean(shared="conv.*"), np.zeros(6, np.float32)
    before = View(0, groups, np.full((3, 6), 9.0, np.float32), zero, None)
    out = part.merge(at, part.init(at, zero, groups), before, groups, asked, came, common=True)
    shared = at.layout.mask(replace(OWN, patterns=("conv.*",)))
    assert out.average.tolist() == [5.0] * 6
    assert (out.models[:, shared] == 5.0).all()
    assert out.models[:, ~shared].tolist() == [[2.0] * 4, [8.0] * 4, [9.0] * 4]
    assert part.tied(at.layout).tolist() == shared.tolist() and not part.additive


@pytest.mark.parametrize("name", ["ifca-cam", "fesem-cam"])
def test_the_shared_branch_is_the_averages_in_every_group(name: str) -> None:
    at = run(method={"name": name, "k": 2}, cohort={"share": 0.5})
    mask = at.setup.world.layout.mask(SHARED)
    assert (at.state.models[:, mask] == at.state.average[mask]).all()
    assert not np.array_equal(at.state.models[0][~mask], at.state.models[1][~mask])


# -- what is left where a branch is silent -------------------------------------------------------------


@pytest.mark.parametrize("name", ["ifca-cam", "fesem-cam"])
def test_one_group_together_is_fedavg_on_the_additive_model(name: str) -> None:
    weights = {"aggregate": {"weights": "uniform"}} if name == "fesem-cam" else {}
    ours = run(method={"name": name, "k": 1}, local=TOGETHER)
    theirs = run(method={"name": "fedavg", **weights}, model={"additive": True})
    assert np.array_equal(ours.state.average, theirs.state.average)
    assert not np.array_equal(ours.state.average, run(method={"name": name, "k": 1}).state.average)


def test_a_silent_own_branch_leaves_fedavg() -> None:
    ours = run(method={"name": "ifca-cam", "k": 1}, local=TOGETHER, model={"freeze": ["own.*"]})
    theirs = run(method={"name": "fedavg"})
    assert np.array_equal(branch(ours.setup, ours.state.average, SHARED), theirs.state.average)
    assert np.array_equal(branch(ours.setup, ours.state.average, OWN), branch(ours.setup, ours.setup.start, OWN))


def test_a_silent_shared_branch_leaves_ifca() -> None:
    """h = 0 and held; the own branches begin at the models that ifca begins with."""
    plain = set_up(method={"name": "ifca", "k": 2})
    setup = set_up(method={"name": "ifca-cam", "k": 2}, local=TOGETHER, model={"freeze": ["shared.*"]})

    def own(vector: np.ndarray) -> np.ndarray:
        out = setup.start.copy()
        out[setup.world.layout.mask(replace(SHARED, kind="any"))] = 0
        out[setup.world.layout.mask(OWN)] = vector
        return out

    redraw = replace(setup.world, redraw=lambda index: own(plain.world.fresh(index)))
    ours, theirs = SimulatedRun(replace(setup, start=own(plain.start), world=redraw), None), SimulatedRun(plain, None)
    with one_thread():
        for _ in (*ours, *theirs):
            pass
    assert ours.state.groups == theirs.state.groups and theirs.state.groups.present().size == 2
    assert np.array_equal(ours.state.models[:, setup.world.layout.mask(OWN)], theirs.state.models)


# -- the client ----------------------------------------------------------------------------------------


def test_branches_take_turns() -> None:
    """Shared first, each on the loss of the sum: the first turn is what training without the other branch does."""
    orders_of = {order: [p.trains for p in Branches(order=order).phases] for order in ("shared-first", "own-first")}
    assert orders_of == {"shared-first": [SHARED, OWN], "own-first": [OWN, SHARED]}
    with pytest.raises(UserError, match=r"local\.order"):
        Branches(order="jointly")
    one: dict[str, Any] = {"rounds": 1, "method": {"name": "ifca-cam", "k": 1}}
    both = run(**one)
    first = run(**one, local=TOGETHER, model={"freeze": ["own.*"]})
    shared = branch(both.setup, both.state.average, SHARED)
    assert np.array_equal(shared, branch(first.setup, first.state.average, SHARED))
    assert not np.array_equal(branch(both.setup, both.state.average, OWN), branch(both.setup, both.setup.start, OWN))


def test_clients_choose_by_the_loss_of_the_sum() -> None:
    at = run(rounds=1, method={"name": "ifca-cam", "k": 3})
    models = at.setup.method.init(at.setup.world, at.setup.start).state.models
    for client in at.setup.ids.tolist():
        x, y = at.setup.federation.train(client)
        logits = [at.setup.network.logits(model, x).astype(np.float64) for model in models]
        losses = [(np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]).mean() for z in logits]
        assert at.state.groups.at(np.array([client])).tolist() == [int(np.argmin(losses))]


# -- what it finds, costs and refuses ------------------------------------------------------------------


@pytest.mark.parametrize(("name", "seed"), [("ifca-cam", 1), ("fesem-cam", 0)])
def test_planted_groups_are_found(name: str, seed: int) -> None:
    found = metrics(
        seed=seed,
        rounds=12,
        partition={"kind": "permuted-labels", "clients": 8, "groups": 2},
        method={"name": name, "k": 2},
        evaluate={"every": 12},
    )
    assert found["ari"] == 1.0 and found["group_local"] > 65  # one model cannot serve both: 50


def test_the_shared_branch_is_sent_once() -> None:
    at = run(rounds=1, method={"name": "ifca-cam", "k": 3})
    d, own = at.setup.world.layout.d, int(at.setup.world.layout.mask(OWN).sum())
    shared = int(at.setup.world.layout.mask(replace(SHARED, kind="any")).sum())
    fixed = d - own - shared  # the head, which is no branch's and in every vector
    assert at.rows[1]["bytes_down"] == 8 * 4 * (shared + 3 * (own + fixed))
    assert at.rows[1]["bytes_up"] == 8 * (4 * d + 8)


def test_a_run_is_loaded_with_its_additive_model(tmp_path: Any) -> None:
    disue.run({**BASE, "rounds": 1, "method": {"name": "fesem-cam"}}, tmp_path / "run", report=False)
    found = disue.load(tmp_path / "run")
    assert {e.name.split(".")[0] for e in found.world.layout.entries} == {"shared", "own", "head"}
    assert set(found.groups) <= {0, 1} and found.vector("average").shape == (found.world.layout.d,)


@pytest.mark.parametrize("host", [ifca_cam(), fesem_cam()])
def test_an_expert_is_a_by_product(host: Any) -> None:
    with pytest.raises(UserError, match="share must be 0"):
        with_expert(host, Distil())
    assert with_expert(host, Distil("generator"), share=0.0).start == host.start


def test_refusals() -> None:
    for tables, words in (
        ({"method": {"name": "ifca-cam"}, "model": {"additive": False}}, "model.additive is false"),
        ({"method": {"name": "ifca-cam", "expert": {"kind": "distil", "share": 0.0}}}, "has none that knows both"),
        ({"method": {"name": "clustered"}, "model": {"additive": True}}, "does not train all of @head"),
    ):
        with pytest.raises(UserError, match=words):
            set_up(**tables)
    with pytest.raises(UserError, match=r"shared\.shared"):
        SharedMean(shared=" ")
