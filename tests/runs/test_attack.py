"""[attack] in a run: who lies, when, what doors see of it, and what cannot be asked for."""

from __future__ import annotations

import copy
import functools
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import disue
import disue.api
from disue.attacks import KINDS
from disue.core.errors import UserError
from disue.flower.serve import checked
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import prepare
from disue.runs.spec import Spec

BASE: dict[str, Any] = {
    "rounds": 2,
    "data": {"name": "digits"},
    "partition": {"kind": "disjoint-labels", "clients": 20, "groups": 2},
    "cohort": {"share": 0.5},
    "local": {"epochs": 1, "batch": 20, "lr": 0.1},
    "evaluate": {"every": 2},
    "checkpoint": {"every": 1},
    "engine": {"backend": "lean"},
}
METHODS: dict[str, dict[str, Any]] = {
    "fedavg": {"name": "fedavg"},
    "clustered": {"name": "clustered", "k": 2},
    "disue": {"name": "disue", "k": 2},
    "ifca": {"name": "ifca", "k": 2},
    "cfl": {"name": "cfl", "grouping": {"eps1": 0.3, "eps2": 0.8, "after": 1}},
}
WITH = {
    **dict.fromkeys(KINDS, "clustered"),
    "false-choice": "ifca",
    "false-moments": "disue",
    "false-counts": "disue",
    "false-sketch": "clustered",
}


def tables(method: str, attack: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    out = copy.deepcopy({**BASE, "method": METHODS[method], **more})
    return out if attack is None else {**out, "attack": attack}


def attacked(kind: str, **keys: Any) -> dict[str, Any]:
    target = {"target": 0} if KINDS[kind].needs_target else {}
    return {"kind": kind, "share": 0.3, **target, **keys}


def protected(kind: str) -> dict[str, Any]:
    few = {**BASE["partition"], "clients": 12}
    more = {"privacy": {"similarity": "sketch"}, "cohort": {"share": 1.0}, "partition": few}
    return more if kind == "false-sketch" else {}


def play(spec: dict[str, Any]) -> SimulatedRun:
    run = SimulatedRun(prepare(Spec.of(spec)), None)
    for _ in run:
        pass
    run.close()
    return run


@functools.cache
def honest_run(method: str, kind: str) -> SimulatedRun:
    return play(tables(method, **protected(kind)))


def bits(run: SimulatedRun) -> list[bytes]:
    state = run.state
    vectors = [state.models, state.average, *([] if state.expert is None else [state.expert])]
    return [vector.tobytes() for vector in vectors] + [state.groups.of.tobytes()]


# -- what is played -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
def test_nobody_and_never_are_the_honest_run_and_a_share_is_not(kind: str) -> None:
    method, more = WITH[kind], protected(kind)
    plain = honest_run(method, "false-sketch" if kind == "false-sketch" else "")
    never = play(tables(method, attacked(kind, from_round=3), **more))
    nobody = play(tables(method, attacked(kind, share=0.0), **more))
    assert bits(never) == bits(plain) == bits(nobody)
    assert never.setup.liars.size == round(0.3 * never.setup.ids.size) and nobody.setup.liars.size == 0
    for row, other in zip(plain.rows, never.rows, strict=True):
        for name, value in row.items():
            assert "seconds" in name or other[name] == value, name
    lying = play(tables(method, attacked(kind), **more))
    assert bits(lying) != bits(plain)
    assert {"honest_served", "honest_group", "worst_honest_group"} <= set(lying.rows[-1])
    assert ("captured" in lying.rows[-1]) == KINDS[kind].needs_target
    assert ("backdoor_global" in lying.rows[-1]) == (kind == "backdoor")
    assert not any(name.startswith(("honest", "worst_honest", "captured", "backdoor")) for name in plain.rows[-1])


def test_liars_do_not_hang_on_cohorts_method_or_attack() -> None:
    one = prepare(Spec.of(tables("fedavg", attacked("noise"))))
    two = prepare(Spec.of(tables("clustered", attacked("alie"), cohort={"share": 0.1}, rounds=9)))
    assert one.liars.tolist() == two.liars.tolist() and one.liars.size == 6
    assert prepare(Spec.of({**tables("fedavg", attacked("noise")), "seed": 1})).liars.tolist() != one.liars.tolist()


@pytest.mark.parametrize("kind", ["label-flip", "sign-flip"])
def test_liars_begin_in_the_round_that_is_named(kind: str) -> None:
    states: dict[int, list[list[bytes]]] = {}
    for first in (1, 2, 3):
        run = SimulatedRun(prepare(Spec.of(tables("fedavg", attacked(kind, from_round=first), rounds=3))), None)
        states[first] = [bits(run) for _ in run]
        run.close()
    assert states[1][0] == states[2][0] == states[3][0]
    assert states[1][1] != states[2][1] == states[3][1]
    assert states[2][2] != states[3][2]


def test_workers_train_on_what_liars_hold_from_then_on() -> None:
    one, two = (
        play(tables("fedavg", attacked("label-flip", from_round=2), engine={"backend": "lean", "workers": workers}))
        for workers in (1, 2)
    )
    assert bits(one) == bits(two)
    assert bits(one) != bits(play(tables("fedavg", attacked("label-flip", from_round=3))))


def test_what_a_flip_sends_is_what_the_server_adds_up() -> None:
    """All of a cohort start from one model: the mean is of the honest ends and of the liars' mirrored ones."""
    alone = {"aggregate": {"weights": "uniform"}}
    honest_tables = tables("fedavg", rounds=1)
    honest_tables["method"] |= alone
    lying_tables = tables("fedavg", attacked("sign-flip"), rounds=1)
    lying_tables["method"] |= alone
    honest, lying = play(honest_tables), play(lying_tables)
    start = honest.setup.start.astype(np.float64)
    ends = {i: end.astype(np.float64) for i, end in honest.ends.items()}
    liars = [i for i in lying.setup.liars.tolist() if i in ends]
    assert 0 < len(liars) < len(ends)
    wanted = sum(start - (ends[i] - start) if i in liars else ends[i] for i in ends) / len(ends)
    assert np.allclose(lying.state.average, wanted, atol=1e-6)
    assert np.allclose(lying.ends[liars[0]], start - (ends[liars[0]] - start), atol=1e-6)


def test_a_lie_that_is_not_finite_is_left_out() -> None:
    run = SimulatedRun(prepare(Spec.of(tables("fedavg", attacked("scaling", scale=1e300), rounds=1))), None)
    rows = [record.row for record in run]
    run.close()
    there = [i for i in run.setup.liars.tolist() if i in run.ends]
    assert rows[-1]["clients_dropped"] >= 1 and there == []
    assert np.isfinite(run.state.average).all()


def test_capture_gets_in_and_without_it_the_same_clients_do_not() -> None:
    survey = play(tables("clustered", attacked("capture"), rounds=1))
    truth, groups = survey.setup.world.truth, survey.state.groups
    outside = [i for i in survey.setup.liars.tolist() if truth[i] != 0]
    home = {int(groups.at(np.array([i]))[0]) for i in survey.setup.ids.tolist() if truth[i] == 0}
    assert outside and len(home) == 1 and {int(g) for g in groups.at(np.array(outside))} == home
    assert survey.rows[-1]["captured"] == 100.0
    honest = play(tables("clustered", attacked("capture", from_round=2), rounds=1))
    assert honest.rows[-1]["captured"] == 0.0 and honest.rows[-1]["ari"] == 1.0


def test_where_nobody_inside_was_asked_those_inside_train_for_the_liar() -> None:
    run = SimulatedRun(prepare(Spec.of(tables("disue", attacked("capture"), rounds=1))), None)
    list(run)
    truth, attack, world = run.setup.world.truth, run.side.attacked, run.setup.world
    outside = np.array([i for i in run.setup.ids.tolist() if truth[i] != 0], np.int64)
    orders = run.setup.method.ask(world, run.state, outside)
    before = {i: dict(run.side.trainer.memory.get(i)) for i in attack.inside.tolist()}
    guide = attack._guide(orders, 0, [])
    honest = np.setdiff1d(run.setup.ids, run.setup.liars)
    ends = run.side.trainer.answer(world, run.setup.method.ask(world, run.state, honest)).ends
    cosine = {}
    for group in (0, 1):
        updates = [end.astype(np.float64) - orders.starts[0] for i, end in ends.items() if truth[i] == group]
        cosine[group] = np.mean([u @ guide / np.linalg.norm(u) / np.linalg.norm(guide) for u in updates])
    assert cosine[0] > 0.5 > cosine[1]
    assert before == {i: dict(run.side.trainer.memory.get(i)) for i in attack.inside.tolist()}
    run.close()


def test_a_wedge_parts_honest_clients_whom_nothing_parts_and_a_flip_parts_only_liars() -> None:
    """CFL, clients alike: long updates of liars make it split, and the camps draw honest members after them."""
    more = {"partition": {"clients": 20, "alpha": 100.0}, "cohort": {"share": 1.0}, "rounds": 3}
    found = {}
    for kind in ("", "sign-flip", "wedge"):
        run = play(tables("cfl", {"kind": kind, "share": 0.2, "scale": 5.0} if kind else None, **more))
        honest = np.setdiff1d(run.setup.ids, run.setup.liars)
        found[kind] = np.unique(run.state.groups.at(honest)).size
    assert found[""] == found["sign-flip"] == 1 < found["wedge"]


def test_a_false_choice_is_counted_in_the_targets_group() -> None:
    run = play(tables("ifca", attacked("false-choice"), cohort={"share": 1.0}, rounds=4))
    assert run.rows[-1]["captured"] == 100.0
    truth, groups = run.setup.world.truth, run.state.groups
    moles = np.array([i for i in run.setup.liars.tolist() if truth[i] == 0])
    others = np.array([i for i in run.setup.liars.tolist() if truth[i] != 0])
    assert set(groups.at(others).tolist()) == set(groups.at(moles).tolist())


def test_false_counts_reach_the_labels_that_the_server_counts() -> None:
    spec = tables("disue", attacked("false-counts", label=3, factor=2.0), rounds=1)
    run = SimulatedRun(prepare(Spec.of(spec)), None)
    list(run)
    liar = int(run.setup.liars[0])
    own = run.setup.federation.label_counts(liar)
    assert run.side.held.label_counts(liar)[3] == own[3] + 2 * own.sum()
    honest = int(np.setdiff1d(run.setup.ids, run.setup.liars)[0])
    assert (run.side.held.label_counts(honest) == run.setup.federation.label_counts(honest)).all()
    run.close()


def test_a_backdoor_opens_with_replacement_and_not_without_liars() -> None:
    more = {"cohort": {"share": 1.0}, "partition": {"clients": 10, "alpha": 100.0}, "rounds": 12}
    shut = play(tables("fedavg", attacked("backdoor", share=0.0), **more)).rows[-1]
    wide = play(tables("fedavg", attacked("backdoor", share=0.2, scale=4.0, label=7), **more)).rows[-1]
    assert shut["backdoor_global"] < 30 and wide["backdoor_global"] > 70
    assert wide["served_global"] > 50, "clean inputs are still told apart"


# -- protection and resuming --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("fedavg", "sign-flip"),
        ("clustered", "capture"),
        ("disue", "min-max"),
        ("disue", "false-moments"),
        ("disue", "false-counts"),
    ],
)
def test_a_protected_run_with_liars_is_its_plain_twin(method: str, kind: str) -> None:
    more = protected("false-sketch")
    spec = Spec.of(tables(method, attacked(kind), **more))
    twin = {name: table for name, table in tomllib.loads(spec.toml()).items() if name != "privacy"}
    one, two = play(spec.tables()), play(twin)
    assert one.state.groups == two.state.groups
    a, b = one.state.average.astype(np.float64), two.state.average.astype(np.float64)
    assert np.linalg.norm(a - b) / np.linalg.norm(b) < 1e-6


def test_a_false_sketch_gets_in_while_it_sums_another_update() -> None:
    run = play(tables("clustered", attacked("false-sketch"), **protected("false-sketch")))
    assert run.rows[-1]["captured"] == 100.0
    truth = run.setup.world.truth
    liar = next(i for i in run.setup.liars.tolist() if truth[i] != 0)
    honest = play(tables("clustered", attacked("false-sketch", from_round=9), **protected("false-sketch")))
    assert honest.rows[-1]["captured"] == 0.0
    assert not np.array_equal(run.ends[liar], honest.ends[liar])


@pytest.mark.parametrize("kind", ["label-flip", "capture", "noise"])
def test_a_stopped_run_goes_on_with_the_same_liars(kind: str, tmp_path: Path) -> None:
    spec = Spec.of(tables("clustered", attacked(kind, from_round=2), rounds=4))
    whole = disue.run(spec, tmp_path / "whole", report=False)
    with pytest.raises(disue.api.Stopped):
        disue.run(spec, tmp_path / "cut", report=False, on_round=lambda r: "stop" if r.round == 2 else None)
    again = disue.resume(tmp_path / "cut", report=False)
    one, two = (sorted((tmp_path / name / "checkpoint").glob("round-*"))[-1] for name in ("whole", "cut"))
    assert one.read_bytes() == two.read_bytes()
    assert whole["metrics"] == again["metrics"] and "honest_served" in whole["metrics"]
    listed = json.loads((tmp_path / "cut" / "attack.json").read_text())
    assert listed == json.loads((tmp_path / "whole" / "attack.json").read_text())
    assert listed["liars"] == again["attack"]["liars"] == prepare(spec).liars.tolist()
    assert listed["kind"] == kind


# -- the spec -----------------------------------------------------------------------------------------------


def test_a_spec_without_liars_says_nothing_of_them_and_one_with_them_all_of_it() -> None:
    assert "attack" not in Spec.of(tables("fedavg")).tables()
    spec = Spec.of(tables("fedavg", {"kind": "alie"}))
    assert spec.tables()["attack"] == {
        "kind": "alie",
        "share": 0.1,
        "target": -1,
        "from_round": 1,
        "knowledge": "liars",
        "z": 0.0,
    }
    assert Spec.of(tomllib.loads(spec.toml())) == spec


@pytest.mark.parametrize(
    ("method", "attack", "more", "sentence"),
    [
        ("fedavg", {"kind": "noise", "share": 1.0}, {}, "attack.share must be a number in [0, 1), got 1"),
        ("fedavg", {"kind": "noise", "share": -0.1}, {}, "attack.share must be number ≥ 0"),
        ("fedavg", {"kind": "nois"}, {}, 'attack.kind: unknown name "nois"'),
        ("fedavg", {"share": 0.1}, {}, "attack.kind is missing"),
        ("fedavg", {"kind": "noise", "sigma": 1.0}, {}, "attack.sigma: unknown key"),
        ("fedavg", {"kind": "noise", "from_round": 0}, {}, "attack.from_round must be integer ≥ 1"),
        ("fedavg", {"kind": "noise", "target": 7}, {}, "attack.target is 7, and the planted groups are 0, 1"),
        (
            "fedavg",
            {"kind": "noise", "target": 0},
            {"partition": {"clients": 20}},
            "attack.target is 0, and nothing is planted",
        ),
        ("clustered", {"kind": "capture"}, {}, 'attack.kind "capture" attacks a planted group'),
        ("fedavg", {"kind": "capture", "target": 0}, {}, 'attack.kind "capture" deceives a server that compares'),
        ("ifca", {"kind": "wedge"}, {}, 'attack.kind "wedge" deceives a server that compares'),
        ("fedavg", {"kind": "false-choice", "target": 0}, {}, 'attack.kind "false-choice" lies about which model'),
        ("clustered", {"kind": "false-moments"}, {}, 'attack.kind "false-moments" lies about class moments'),
        ("clustered", {"kind": "false-counts"}, {}, 'attack.kind "false-counts" lies about label counts'),
        ("clustered", {"kind": "false-sketch", "target": 0}, {}, 'attack.kind "false-sketch" lies in a sketch'),
        ("disue", {"kind": "false-counts", "label": 10}, {}, "attack.label names class 10"),
        ("fedavg", {"kind": "backdoor", "size": 8}, {}, "attack.size is 8"),
        ("fedavg", {"kind": "noise", "share": 0.01}, {}, "attack.share is 0.01: that is none of 20 clients"),
    ],
)
def test_what_cannot_be_asked_for_is_one_sentence(
    method: str, attack: dict[str, Any], more: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError) as error:
        prepare(Spec.of(tables(method, attack, **more)))
    assert str(error.value).startswith(sentence), str(error.value)
    assert "\n" not in str(error.value)


def test_a_backdoor_needs_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((80, 6)).astype(np.float32), np.arange(80) % 4
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    own = {"data": {"path": str(tmp_path / "mine.npz")}, "partition": {"clients": 8, "alpha": 9.0}}
    with pytest.raises(UserError, match='"backdoor" marks pixels, and this data is vector data'):
        prepare(Spec.of(tables("fedavg", attacked("backdoor"), **own)))


def test_a_network_takes_no_liars() -> None:
    pytest.importorskip("flwr")
    with pytest.raises(UserError, match=r"attack\.kind is simulated"):
        checked(Spec.of(tables("fedavg", {"kind": "noise"})))
