"""FeSEM and WeCFL: distances by hand, planted groups, absent clients."""

from __future__ import annotations

import numpy as np
import pytest
from methods_bed import metrics

from disue.core.groups import Groups
from disue.core.method import View
from disue.core.orders import Orders, Report
from disue.methods import fesem, wecfl
from disue.parts.grouping import Nearest
from disue.parts.grouping.kmeans import seeded
from disue.parts.grouping.nearest import Centres
from fakes import FakeUploads, answer, orders, vec, world

IDS = (4001, 17, 902)
NOWHERE = np.zeros((0, 6), np.float32)


def filled(value: float) -> np.ndarray:
    return vec(*[value] * 6)


@pytest.mark.hand("fesem")
def test_ends_0_1_10_and_two_centres() -> None:
    """e = (0, 1, 10) about centres 0 and 9: {0, 1}, {10}, and then centres 0.5 and 10."""
    at, part = world(IDS, 6), Nearest(2)
    centres = Centres(np.stack([filled(0.0), filled(9.0)]), NOWHERE)
    asked = orders(IDS, np.stack([filled(0.0), filled(9.0)]), (0, 0, 1))
    came = answer(asked, {4001: filled(0.0), 17: filled(1.0), 902: filled(10.0)}, at.layout)
    out = part.assign(at, Groups.empty(2), centres, asked, came, survey=False)
    assert out.groups.as_dict() == {4001: 0, 17: 0, 902: 1}
    np.testing.assert_allclose(out.memory.models[:, 0], [0.5, 10.0])


@pytest.mark.hand("wecfl")
def test_members_of_a_group_weigh_by_their_samples_in_wecfl_and_alike_in_fesem() -> None:
    """Ends 0 and 3 of clients with 2 and 1 samples: 1 where samples weigh, 3/2 where clients do."""
    at = world((4001, 17), 6, sizes={4001: 2, 17: 1})
    start, groups = np.zeros(6, np.float32), Groups.one(at.census.ids)
    asked = orders((4001, 17), start)
    for method, model in ((wecfl(k=1), 1.0), (fesem(k=1), 1.5)):
        mean = method.aggregate
        ends = {4001: filled(0.0), 17: filled(3.0)}
        came = answer(asked, ends, at.layout, {4001: 2, 17: 1}, weights=mean.weights)
        view = View(0, groups, start[None], start, None)
        out = mean.merge(at, mean.init(at, start, groups), view, groups, asked, came, common=True)
        assert out.models.tolist() == [[model] * 6]


def test_distances_from_inner_products_are_distances() -> None:
    rng = np.random.default_rng(0)
    at, part = world(IDS, 6), Nearest(3, part="whole")
    starts = rng.normal(size=(2, 6)).astype(np.float32)
    centres = Centres(rng.normal(size=(3, 6)).astype(np.float32), NOWHERE)
    asked = orders(IDS, starts, (1, 0, 1))
    ends = {i: rng.normal(size=6).astype(np.float32) for i in IDS}
    found = part._distances(centres, asked, answer(asked, ends, at.layout))
    direct = [[((ends[i].astype(float) - c) ** 2).sum() for c in centres.models.astype(float)] for i in sorted(IDS)]
    np.testing.assert_allclose(found, direct, rtol=1e-5, atol=1e-6)


def test_k_means_on_inner_products() -> None:
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1, 2], 5)
    points = np.eye(3)[truth] * 10 + rng.normal(size=(15, 3))
    for seed in range(5):
        labels = seeded(points @ points.T, 3, np.random.default_rng(seed))
        assert len({(a, b) for a, b in zip(truth, labels, strict=True)}) == 3


def test_planted_groups_are_found() -> None:
    found = metrics(
        rounds=30,
        partition={"kind": "permuted-labels", "clients": 8, "groups": 2},
        method={"name": "fesem", "k": 2},
        evaluate={"every": 30},
    )
    assert found["ari"] == 1.0 and found["group_local"] > 80


def test_absent_clients_keep_their_group_and_an_empty_group_its_centre() -> None:
    at, part = world(IDS, 6), Nearest(2)
    groups = Groups.make({4001: 0, 17: 1, 902: 1})
    centres = Centres(np.stack([filled(0.0), filled(9.0)]), NOWHERE)
    asked = Orders(
        1, np.array([17]), filled(9.0)[None], np.zeros((1, 1), np.int64), origin=filled(9.0), report=Report()
    )
    came = FakeUploads({17: filled(1.0)}, filled(9.0), at.layout, filled(9.0))
    out = part.assign(at, groups, centres, asked, came, survey=False)
    assert out.groups.as_dict() == {4001: 0, 17: 0, 902: 1}
    np.testing.assert_allclose(out.memory.models[:, 0], [1.0, 9.0])


def test_centres_move_with_the_vector_that_all_start_from() -> None:
    """Updates (+1, +1, −1) about the common start 5; the centres, met about start 0, stood at +1 and −1."""
    at, part = world(IDS, 6), Nearest(2)
    centres = Centres(np.stack([filled(1.0), filled(-1.0)]), filled(0.0)[None])
    asked = Orders(1, np.array(IDS), filled(5.0)[None], np.zeros((3, 1), np.int64), origin=filled(5.0), report=Report())
    came = FakeUploads({4001: filled(6.0), 17: filled(6.0), 902: filled(4.0)}, filled(5.0), at.layout, filled(5.0))
    out = part.assign(at, Groups.empty(2), centres, asked, came, survey=False)
    assert out.groups.as_dict() == {4001: 0, 17: 0, 902: 1}
    np.testing.assert_allclose(out.memory.models[:, 0], [6.0, 4.0])
    stay = part.assign(at, Groups.empty(2), Centres(centres.models, NOWHERE), asked, came, survey=False)
    assert stay.groups.as_dict() == {4001: 0, 17: 0, 902: 0}
