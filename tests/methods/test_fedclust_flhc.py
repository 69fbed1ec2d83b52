"""FedClust and FL+HC: when they look and from what, distances by hand, planted groups, identities, an expert."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from methods_bed import run

from disue.core.errors import UserError
from disue.methods import fedclust, flhc
from disue.parts.local import Erm

PLANTED: dict[str, Any] = {"partition": {"kind": "permuted-labels", "clients": 8, "groups": 2}}


FLHC = {"name": "flhc", "after": 2}


@pytest.mark.parametrize(
    "method",
    [
        {"name": "fedclust"},
        FLHC,
        {**FLHC, "grouping": {"metric": "l1", "linkage": "complete"}},
        {**FLHC, "grouping": {"metric": "cosine", "linkage": "single"}},
        {**FLHC, "grouping": {"linkage": "average"}},
    ],
    ids=["fedclust", "flhc", "flhc-l1", "flhc-cosine", "flhc-average"],
)
def test_planted_groups_are_found(method: dict[str, Any]) -> None:
    found = run(rounds=3, **PLANTED, method={**method, "k": 2})
    truth, groups = found.setup.world.truth, found.state.groups.as_dict()
    assert truth is not None and len({(truth[i], groups[i]) for i in truth}) == 2


def test_flhc_is_fedavg_until_it_groups() -> None:
    theirs = run(rounds=2, method={"name": "fedavg"})
    late = run(rounds=2, method={"name": "flhc", "k": 3, "after": 2})
    assert np.array_equal(late.state.average, theirs.state.average) and late.state.groups.numbers.tolist() == [0]
    ours = run(rounds=3, method={"name": "flhc", "k": 3, "after": 2})
    assert ours.state.groups.numbers.size == 3
    d = ours.setup.world.layout.d
    assert [row["bytes_up"] // (4 * 8 * d) for row in ours.rows] == [0, 1, 2, 1]  # the survey ends round 2


def test_after_the_survey_every_group_stands_at_fedavgs_model() -> None:
    ours = run(rounds=3, method={"name": "flhc", "k": 3, "after": 2})
    method, world = ours.setup.method, ours.setup.world
    start = np.linspace(0, 1, world.layout.d).astype(np.float32)
    told = method.init(world, start)
    state = told.state
    at = type(state)(**{**state.__dict__, "round": 2})
    orders = method._survey(world, at)
    assert told.then is None and orders is not None
    assert np.array_equal(orders.starts, start[None]) and orders.ids.tolist() == world.census.ordered.tolist()
    assert orders.local == ours.setup.method.local  # as many passes as in a round
    after = method.tell(world, at, orders, ours.side.trainer.answer(world, orders)).state
    assert after.groups.numbers.size == 3 and (after.models == start).all()


def test_fedclust_looks_at_the_head_before_training() -> None:
    ours = run(rounds=1, method={"name": "fedclust", "k": 3})
    method, world = ours.setup.method, ours.setup.world
    orders = method.init(world, ours.setup.start).then
    assert orders is not None and orders.report.parts[0].patterns == ("@head",)
    assert orders.local == method.local and ours.state.groups.numbers.size == 3
    brief = fedclust(Erm(epochs=4)).grouping
    assert brief.epochs == 0 and brief.sight == method.grouping.sight


def test_cuts() -> None:
    theirs = run(method={"name": "fedavg"}).state.average
    for given in ({"k": 1}, {"k": 0, "distance": 1e9}):
        assert np.array_equal(run(method={"name": "fedclust", **given}).state.average, theirs)
    assert run(method={"name": "fedclust", "k": 0, "distance": 1e-9}).state.groups.numbers.size == 8
    found = run(rounds=1, **PLANTED, method={"name": "fedclust", "k": 0}).state.groups  # by the silhouette
    assert 1 <= found.numbers.size < 8


def test_both_at_once_are_refused() -> None:
    for build in (fedclust, flhc):
        with pytest.raises(UserError, match="absent where k is given"):
            build(k=2, distance=1.0)


def test_a_share_of_0_is_the_host_also_where_the_survey_comes_late() -> None:
    given = {"rounds": 4, "partition": {"clients": 12, "alpha": 0.3}, "cohort": {"share": 0.5}}
    method = {"name": "flhc", "k": 3, "after": 2}
    host = run(**given, method=method).state
    plugged = run(**given, method={**method, "expert": {"kind": "distil", "share": 0.0}}).state
    assert host.groups == plugged.groups and np.array_equal(host.models, plugged.models)
    assert host.groups.numbers.size == 3 and not np.array_equal(plugged.expert, plugged.average)
