"""Protected runs beside their plain twins: the same groups and models, nothing of a single client at the server."""

from __future__ import annotations

import copy
import dataclasses
import errno
import io
import os
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import disue
import disue.api
from disue.core.checks import IntVector
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.lots import Lots
from disue.core.method import Merged
from disue.core.orders import Orders, Sight
from disue.runs.folder import read_table
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import prepare
from disue.runs.spec import Spec, put

BASE: dict[str, Any] = {
    "rounds": 3,
    "data": {"name": "digits"},
    "partition": {"kind": "disjoint-labels", "clients": 24, "groups": 2},
    "cohort": {"share": 1.0},
    "local": {"epochs": 1, "batch": 10, "lr": 0.05},
    "evaluate": {"every": 3},
    "checkpoint": {"every": 1},
    "engine": {"backend": "stacked"},
    "privacy": {"similarity": "sketch"},
}
METHODS: dict[str, dict[str, Any]] = {
    "disue": {"method": {"name": "disue", "k": 2}},
    "disue-generator": {"method": {"name": "disue-generator", "k": 2, "expert": {"iterations": 1}}},
    "clustered": {"method": {"name": "clustered", "k": 2}},
    "cfl": {"method": {"name": "cfl", "grouping": {"every": 2, "after": 2, "eps1": 9.0, "eps2": 0.0}}},
    "fesem": {"method": {"name": "fesem", "k": 2}},
    "ifca": {"method": {"name": "ifca", "k": 2}, "privacy": {"similarity": "assign"}},
    "scaffold": {"method": {"name": "scaffold"}},
    "fedavg": {"method": {"name": "fedavg"}},
}


def spec_of(name: str, **dotted: Any) -> Spec:
    tables = copy.deepcopy({**BASE, **METHODS[name]})
    tables = tomllib.loads(Spec.of(tables).toml()) if not dotted else tables
    for key, value in dotted.items():
        put(tables, key.replace("__", "."), value)
    return Spec.of(tables)


def twin_of(spec: Spec) -> Spec:
    """The resolved spec without [privacy]."""
    return Spec.of({name: table for name, table in tomllib.loads(spec.toml()).items() if name != "privacy"})


def play(spec: Spec) -> SimulatedRun:
    run = SimulatedRun(prepare(spec), None)
    for _ in run:
        pass
    run.close()
    return run


def apart(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.astype(np.float64), other.astype(np.float64)
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


@pytest.mark.parametrize("name", list(METHODS))
def test_a_protected_run_is_its_plain_twin_within_the_fixed_point(name: str) -> None:
    spec = spec_of(name)
    run, twin = play(spec), play(twin_of(spec))
    found, expected = run.setup.method.standing(run.state), twin.setup.method.standing(twin.state)
    assert found == expected, "planted groups are found from sketches as they are in the clear"
    if name in ("disue", "clustered", "cfl", "fesem"):
        assert found.present().size == 2
    state, other = run.state, twin.state
    if hasattr(state, "average"):
        assert apart(state.average, other.average) < 1e-6
        assert all(apart(a, b) < 1e-6 for a, b in zip(state.models, other.models, strict=True))
    for row, beside in zip(run.rows, twin.rows, strict=True):
        assert row["answered"] == beside["answered"]


def test_a_protected_run_repeats_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    spec = spec_of("disue", privacy__transcript=True)
    disue.run(spec, tmp_path / "whole", report=False)
    with pytest.raises(disue.api.Stopped):
        disue.run(spec, tmp_path / "cut", report=False, on_round=lambda r: "stop" if r.round == 2 else None)
    disue.resume(tmp_path / "cut", report=False)
    one, two = (sorted((tmp_path / name / "checkpoint").glob("round-*"))[-1] for name in ("whole", "cut"))
    assert one.read_bytes() == two.read_bytes()
    rows = read_table(tmp_path / "whole" / "privacy.csv")
    assert {row["phase"] for row in rows} >= {"keys", "seed", "sketch", "shares", "masks", "unmask"}
    again = read_table(tmp_path / "cut" / "privacy.csv")
    assert (tmp_path / "whole" / "transcript.bin").read_bytes() == (tmp_path / "cut" / "transcript.bin").read_bytes()
    kept = ("round", "phase", "clients", "bytes_up", "bytes_down")
    assert [[row[k] for k in kept] for row in rows] == [[row[k] for k in kept] for row in again]


def test_a_transcript_with_a_gap_is_not_gone_on_with(tmp_path: Path) -> None:
    spec = spec_of("fedavg", privacy__transcript=True)
    with pytest.raises(disue.api.Stopped):
        disue.run(spec, tmp_path, report=False, on_round=lambda r: "stop" if r.round == 2 else None)
    path = tmp_path / "transcript.bin"
    for short in (path.stat().st_size - 1, 0):
        os.truncate(path, short)
        with pytest.raises(UserError, match=rf"holds {short} bytes, and \d+ were written"):
            disue.resume(tmp_path, report=False)


def test_a_full_disk_leaves_the_transcript_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = SimulatedRun(prepare(spec_of("fedavg", privacy__transcript=True)), None)
    rounds = iter(run)
    next(rounds)
    assert next(rounds).round == 1 and run.side.protection is not None
    run.side.protection.written(tmp_path)
    before = (tmp_path / "transcript.bin").read_bytes()
    next(rounds)

    class Full(io.FileIO):
        def write(self, content: Any) -> int:
            super().write(content[:100])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda path, mode: Full(path, mode.replace("b", "")))
        with pytest.raises(UserError, match=r"transcript\.bin: cannot be written"):
            run.side.protection.written(tmp_path)
    assert (tmp_path / "transcript.bin").read_bytes() == before
    run.side.protection.written(tmp_path)
    assert (tmp_path / "transcript.bin").read_bytes()[: len(before)] == before
    assert (tmp_path / "transcript.bin").stat().st_size > len(before)
    run.close()


def test_dropouts_at_every_stage_leave_a_sum_over_the_rest_or_none() -> None:
    """Whoever is lost after the keys is recovered from shares: members of the sum fall, nothing else breaks."""
    spec = spec_of("fedavg", privacy__dropouts={"shares": 0.1, "masked": 0.1, "unmask": 0.1})
    run = play(spec)
    said = run.side.protection.session.said() if run.side.protection else []
    assert any("left" in note for note in said)
    assert run.state.average.any() and np.isfinite(run.state.average).all()


def test_lots_are_all_or_nothing() -> None:
    """A lot of which one is lost tells nothing; what was counted of the others is theirs alone."""
    spec = spec_of("disue", privacy__dropouts={"masked": 0.04})
    run = play(spec)
    statics = run.side.protection.statics if run.side.protection else None
    assert statics is not None
    clear = play(twin_of(spec_of("disue"))).side.trainer.statics
    assert clear is not None and run.setup.ids.size == statics.lots.ids.size
    same = {(row.tobytes()) for row in clear.labels} | {np.zeros(10, np.int64).tobytes()}
    assert all(row.tobytes() in same for row in statics.labels)


def test_a_lot_that_broke_when_it_was_counted_is_not_measured() -> None:
    """Which of its classes have a single holder is not known, and the sums for transport are over all classes."""
    spec = spec_of("disue", privacy__dropouts={"masked": 0.1}, method__expert__lot=6)
    run = SimulatedRun(prepare(spec), None)
    next(iter(run))
    protection = run.side.protection
    assert protection is not None and protection.statics is not None
    statics = protection.statics
    broken = statics.broken
    assert broken.any() and not broken.all(), "the seed loses one in some lots, and none in others"
    assert statics.held[broken].all() and not statics.labels[broken].any()
    assert statics.whole(run.setup.ids).tolist() == np.flatnonzero(~broken).tolist()
    protection.clients.privacy = dataclasses.replace(protection.clients.privacy, dropouts={})
    protection.begin(1)
    clear = SimulatedRun(prepare(twin_of(spec)), None)
    next(iter(clear))
    assert clear.side.trainer.statics is not None and not protection.statics.broken.any(), "they are asked again"
    assert protection.statics.labels.tolist() == clear.side.trainer.statics.labels.tolist()
    assert protection.statics.held.tolist() == clear.side.trainer.statics.held.tolist()
    run.close()
    clear.close()


@pytest.mark.parametrize(
    ("name", "tables", "said"),
    [
        ("fedftg", {}, "must see"),
        ("ifca", {}, "must see choice"),
        ("pacfl", {}, "must see"),
        ("fedsoft", {}, "must see choice"),
        ("cfl", {"grouping": {"norms": "max"}}, "must see gram"),
        ("disue", {"floor": {"members": 2}}, r"method\.floor\.members is 2, below privacy\.min_group = 3"),
        ("disue", {"expert": {"lot": 5}, "k": 2}, r"method\.expert\.lot is 5, and under \[privacy\] it must be ≥ 6"),
        ("disue", {"expert": {"lot": 0}}, r"method\.expert\.lot is 0, and under \[privacy\] it must be ≥ 6"),
        ("disue", {"expert": {"min_class": 11}}, r"min_class is 11, above method\.expert\.lot = 10"),
        ("disue", {"grouping": {"floor": 5}}, r"method\.grouping\.floor is 5: a lot lies within a group"),
        ("disue", {"floor": {"members": 25}}, "method.floor.members is 25, but there are 24 clients"),
        ("ccvr", {}, "standing lots alone"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(name: str, tables: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        prepare(Spec.of({**BASE, "method": {"name": name, **tables}}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"similarity": "sketches"}, 'Did you mean "sketch"'),
        ({"k": 300}, "power of two"),
        ({"m": 1000}, "power of two"),
        ({"m": 2**40}, "≤ 16777216, got 1099511627776"),
        ({"m": 128}, "≥ privacy.k = 256"),
        ({"k": 100, "m": 4096}, "multiple of 8"),
        ({"k": 65536}, "a matrix of 68719476736 entries"),
        ({"update_bound": float("inf")}, "update_bound must be finite"),
        ({"min_class": 70000}, "no class would ever be released"),
        ({"min_group": 2}, "≥ 3"),
        ({"dropouts": {"later": 0.1}}, r"Stages: keys, sketch"),
        ({"dropouts": {"shares": 1.5}}, r"\[0, 1\)"),
    ],
)
def test_keys_of_privacy_are_checked(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Spec.of({**BASE, **METHODS["disue"], "privacy": {"similarity": "sketch", **change}})


def test_shares_over_groups_are_refused_where_choices_are_shown() -> None:
    with pytest.raises(UserError, match=r"by its shares, and under \[privacy\] sums are over groups of whole clients"):
        Spec.of({**BASE, "method": {"name": "fedsoft"}, "privacy": {"similarity": "assign"}})


@pytest.mark.parametrize(
    ("name", "tables", "said"),
    [
        ("fedavg", {"partition": {"clients": 2}}, "there are 2 clients, and .* needs ≥ 3"),
        ("disue", {"partition": {"clients": 5}}, "there are 5 clients, and .* needs ≥ 6"),
        ("disue", {"privacy": {"similarity": "sketch", "update_bound": 1e30}}, "could overflow 64 bits"),
        ("disue", {"privacy": {"similarity": "sketch", "scale_bits": 48}}, "a sum over 24 clients could overflow"),
    ],
)
def test_what_the_clients_are_too_few_or_too_many_for(name: str, tables: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        prepare(Spec.of({**BASE, "method": {"name": name}, **tables}))


def test_what_gives_clients_away_over_many_rounds_is_said() -> None:
    spec = spec_of("fedavg", cohort__kind="clients", method__aggregate__weights="samples")
    said = [note for note in prepare(spec).notes if note.startswith("protected: ")]
    assert any("lots of 2" in note for note in prepare(spec_of("fedavg", cohort__lot=2)).notes)
    assert ["changing sets" in said[0], "weigh by their samples" in said[1]] == [True, True]
    assert not [note for note in prepare(spec_of("fedavg")).notes if note.startswith("protected: ")]


@pytest.mark.parametrize("mode", ["sketch", "sketch-bits"])
def test_where_no_update_has_a_direction_nobody_is_compared(mode: str) -> None:
    run = play(spec_of("clustered", rounds=1, local__lr=1e-30, privacy__similarity=mode))
    assert run.side.protection is not None and run.setup.method.standing(run.state).numbers.size <= 1


def test_lots_grow_with_the_floor() -> None:
    """What the protocol presupposes is enough for its own rules."""
    method = Spec.of({**BASE, "method": {"name": "disue"}, "privacy": {"similarity": "sketch", "min_group": 6}}).build()
    assert [method.expert.lot, method.grouping.floor] == [12, 12]  # type: ignore[attr-defined]


class Krum:
    """The update with the least distance to its nearest others: it must see single vectors."""

    sight = frozenset({Sight.VECTORS})
    weights = "uniform"

    def init(self, world: Any, start: Any, groups: Groups) -> None:
        return None

    def merge(
        self, world: Any, memory: None, before: Any, groups: Groups, orders: Orders, uploads: Any, **_: Any
    ) -> Any:
        rows = uploads.vectors()
        near = np.sort(((rows[:, None] - rows[None]) ** 2).sum(-1), axis=1)[:, 1:-1].sum(1)
        chosen = (before.average + rows[near.argmin()]).astype(np.float32)
        return Merged(np.repeat(chosen[None], before.models.shape[0], 0), chosen, None)


def test_a_ten_line_krum_runs_in_the_clear_and_is_refused_under_protection() -> None:
    import dataclasses

    spec = Spec.of({**BASE, "method": {"name": "fedavg"}})
    method = dataclasses.replace(spec.build(), aggregate=Krum())
    with pytest.raises(UserError, match=r'"fedavg" must see vectors; the protected \("sketch"\) door shows only'):
        prepare(spec, method=method)
    clear = SimulatedRun(prepare(twin_of(spec), method=dataclasses.replace(method, floor=type(method.floor)())), None)
    assert [record.round for record in clear][-1] == 3
    clear.close()


def opened(name: str) -> tuple[SimulatedRun, Any]:
    """A run after round 0, and the door of everybody's first round."""
    run = SimulatedRun(prepare(spec_of(name)), None)
    next(iter(run))
    setup, protection = run.setup, run.side.protection
    assert protection is not None
    protection.begin(1)
    orders = setup.method.ask(setup.world, run.state, setup.ids)
    return run, protection.door(orders, run.side.trainer.answer(setup.world, orders))


def test_the_door_refuses_at_the_call_too() -> None:
    run, door = opened("clustered")
    setup = run.setup
    halves: list[IntVector] = [setup.ids[::2], setup.ids[1::2]]
    door.sums(Groups.make({int(i): at for at, ids in enumerate(halves) for i in ids}))
    with pytest.raises(UserError, match="ask once"):
        door.sums(Groups.one(setup.ids))
    with pytest.raises(UserError, match="never shows vectors"):
        door.vectors()
    with pytest.raises(UserError, match="never shows gram"):
        door.gram()
    with pytest.raises(UserError, match="not over shares"):
        door.sums(Groups.one(setup.ids), shares=np.ones((24, 1)))
    with pytest.raises(UserError, match="standing lots"):
        door._standing()
    run.close()


def test_groups_below_the_floor_have_no_sum() -> None:
    run, door = opened("clustered")
    setup = run.setup
    small = Groups.make({int(i): int(at < 2) for at, i in enumerate(setup.ids)})
    sums = door.sums(small)
    assert sums.counts.tolist() == [22, 0] and not sums.totals[1].any()
    run.close()


def test_moments_come_from_whole_lots_as_in_the_clear() -> None:
    spec = spec_of("disue")
    run, twin = (SimulatedRun(prepare(s), None) for s in (spec, twin_of(spec)))
    for one in (run, twin):
        next(iter(one))
    protection, setup = run.side.protection, run.setup
    assert protection is not None and protection.statics is not None and isinstance(run.lots.static, Lots)
    assert protection.statics.labels.tolist() == twin.side.trainer.statics.labels.tolist()  # type: ignore[union-attr]
    protection.begin(1)
    orders = setup.method.ask(setup.world, run.state, setup.ids)
    door = protection.door(orders, run.side.trainer.answer(setup.world, orders))
    beside = twin.side.trainer.answer(setup.world, orders)
    against = setup.world.fresh(0)
    one, two = (d.moments(Groups.one(d.ids), under=setup.start, against=against) for d in (door, beside))
    assert one.counts.tolist() == two.counts.tolist() and not one.stale
    for name in ("sums", "second", "cross_xx", "cross_xy"):
        assert apart(getattr(one, name), getattr(two, name)) < 1e-9, name
    for done in (run, twin):
        done.close()


def test_a_run_says_where_groups_that_change_cut_through_lots() -> None:
    for name, says in (("fesem", True), ("ifca", True), ("cfl", True), ("clustered", False), ("fedavg", False)):
        said = prepare(spec_of(name)).notes
        assert any("cut through lots" in note for note in said) == says, name
