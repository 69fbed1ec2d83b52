"""Standing lots in a run: whole lots are released, classes of few holders are held back, resume keeps the lots."""

import tomllib
from typing import Any

import numpy as np
import pytest

import disue
import disue.api
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.lots import Lots
from disue.core.statics import Statics
from disue.engine.engine import Engine
from disue.runs.folder import read_table
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import prepare
from disue.runs.spec import Spec

SPEC: dict[str, Any] = {
    "rounds": 6,
    "data": {"name": "digits"},
    "partition": {"clients": 24, "alpha": 0.1},
    "cohort": {"share": 0.5, "kind": "lots", "lot": 4},
    "local": {"epochs": 1, "batch": 10, "lr": 0.05},
    "method": {"name": "disue", "k": 2, "expert": {"lot": 4, "min_class": 2}, "floor": {"members": 3}},
    "evaluate": {"every": 6},
    "checkpoint": {"every": 2},
    "engine": {"backend": "stacked"},
}


def play(spec: Spec, stop: int | None = None) -> SimulatedRun:
    run = SimulatedRun(prepare(spec), None)
    for record in run:
        if record.round == stop:
            break
    return run


def test_a_run_by_lots_asks_whole_lots_and_resumes_with_the_same(tmp_path):
    spec = Spec.of(SPEC)
    disue.run(spec, tmp_path / "whole", report=False)
    with pytest.raises(disue.api.Stopped):
        disue.run(spec, tmp_path / "cut", report=False, on_round=lambda record: "stop" if record.round == 3 else None)
    disue.resume(tmp_path / "cut", report=False)
    one, two = (sorted((tmp_path / name / "checkpoint").glob("round-*"))[-1] for name in ("whole", "cut"))
    assert one.read_bytes() == two.read_bytes()
    rows = read_table(tmp_path / "whole" / "rounds.csv")
    run = SimulatedRun(prepare(spec), None)
    for record in run:
        lots = run.lots.cohort
        if record.round:
            assert lots is not None and np.array_equal(lots.among(lots.whole(record.cohort)), record.cohort)
            assert record.cohort.size
    assert all(float(row["moments.refreshed"]) == 1 for row in rows[1:])


def test_lots_lie_within_the_groups_of_the_survey():
    run = play(Spec.of(SPEC), stop=1)
    groups = run.setup.method.standing(run.state)
    assert run.lots.static is not None
    for lot in range(run.lots.static.count):
        assert np.unique(groups.at(run.lots.static.members(lot))).size == 1


def test_label_counts_of_lots_with_a_class_floor_by_hand():
    """Three clients, two lots: class 0 of lot 0 has one holder and is held back."""

    class Clients:
        def label_counts(self, client: int) -> np.ndarray:
            return {1: np.array([5, 1]), 2: np.array([0, 3]), 3: np.array([2, 2])}[client]

    lots = Lots(np.array([1, 2, 3]), np.array([0, 0, 1]))
    statics = Statics.counted(lots, Clients(), 2, 2)  # type: ignore[arg-type]
    assert statics.labels.tolist() == [[0, 4], [0, 0]]
    assert statics.without(1).tolist() == [0] and statics.without(3).tolist() == [0, 1]
    assert statics.of_groups(Groups.make({1: 0, 2: 1})).tolist() == [[0, 2], [0, 2]]
    assert Statics.counted(lots, Clients(), 2, 1).labels.tolist() == [[5, 4], [2, 2]]  # type: ignore[arg-type]


def test_moments_are_of_whole_lots_only_and_leave_the_held_classes_out():
    spec = Spec.of({**SPEC, "method": {**SPEC["method"], "expert": {"lot": 4, "min_class": 3}}})
    run = play(spec, stop=1)
    setup, world = run.setup, run.setup.world
    static, statics = run.lots.static, run.side.trainer.statics
    assert static is not None and statics is not None and statics.held.any()
    orders = setup.method.ask(world, run.state, np.sort(np.concatenate([static.members(0), static.members(1)[:-1]])))
    uploads = run.side.trainer.answer(world, orders)
    found = uploads.moments(Groups.one(uploads.ids), under=setup.start)
    counts, sums = np.zeros(10, np.int64), 0.0
    for client in static.members(0).tolist():
        x, y = setup.federation.train(client)
        keep = ~statics.held[0][y]
        counts += np.bincount(y[keep], minlength=10)
        sums += world.network.features(setup.start, x[keep]).astype(np.float64).sum(0)
    assert found.counts[0].tolist() == counts.tolist() and not found.stale
    assert np.allclose(found.sums[0].sum(0), sums)
    part = run.side.trainer.answer(world, setup.method.ask(world, run.state, static.members(0)[:-1]))
    assert part.moments(Groups.one(part.ids), under=setup.start).stale
    run.close()


def test_without_a_class_floor_whole_lots_give_the_plain_moments():
    spec = Spec.of({**SPEC, "method": {**SPEC["method"], "expert": {"lot": 4}}})
    run = play(spec, stop=1)
    world = run.setup.world
    assert run.lots.cohort is not None
    orders = run.setup.method.ask(world, run.state, run.lots.cohort.among(np.array([0, 2])))
    plain = Engine(run.setup.federation, "stacked")
    a = run.side.trainer.answer(world, orders)
    b = plain.answer(world, orders)
    one, two = (door.moments(Groups.one(door.ids), under=run.setup.start) for door in (a, b))
    assert one.counts.tolist() == two.counts.tolist() and np.allclose(one.second, two.second, rtol=1e-12)
    run.close()


@pytest.mark.parametrize("stale", ["keep", "skip"])
def test_releases_measure_all_clients_so_many_times_the_last_after_the_last_round(stale):
    expert = {"lot": 4, "releases": 2, "stale": stale}
    run = play(Spec.of({**SPEC, "method": {**SPEC["method"], "expert": expert}}))
    refreshed = [int(row.get("moments.refreshed", 0)) for row in run.rows]
    # rounds.csv has the sum of a round's exchanges, of which the closing one says that it refreshed
    assert [at for at, value in enumerate(refreshed) if value] == [3, 6]
    assert sum(row.get("moments.samples", 0) for row in run.rows) == 2 * sum(
        run.setup.federation.sizes_of(run.setup.ids)
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cohort": {"share": 0.5}}, 'set cohort.kind = "lots" and cohort.lot = 4'),
        ({"cohort": {"share": 0.5, "kind": "lots", "lot": 3}}, "a cohort seldom holds a whole lot"),
    ],
)
def test_lots_that_would_never_be_whole_are_refused(change, said):
    with pytest.raises(UserError, match=said):
        SimulatedRun(prepare(Spec.of({**SPEC, **change})), None)


def test_a_floor_changes_nothing_where_every_group_is_large_enough_and_is_in_the_spec():
    spec = Spec.of({**SPEC, "method": {"name": "clustered", "k": 2, "floor": {"members": 1}}})
    bare = Spec.of({**SPEC, "method": {"name": "clustered", "k": 2}})
    assert Spec.of(tomllib.loads(spec.toml())) == spec
    assert play(spec).state.models.tobytes() == play(bare).state.models.tobytes()
    with pytest.raises(UserError, match=r"method\.floor\.members"):
        Spec.of({**SPEC, "method": {"name": "clustered", "floor": {"members": 0}}})
