"""PACFL: angles by hand and against scipy, what the survey costs, who is asked again, planted groups, identities."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from methods_bed import metrics, run
from scipy.linalg import subspace_angles

from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.parts.grouping import PrincipalAngles
from disue.parts.grouping.angles import Bases, Spans, _spans, angles, leading
from disue.parts.grouping.merging import merge
from fakes import answer, orders, world

E = np.eye(5)
IDS = (4001, 17, 902, 33)


def columns(*vectors: np.ndarray) -> np.ndarray:
    """(numbers, 2 · each) of one class's vectors, the other class being absent."""
    given = np.stack([v / np.linalg.norm(v) for v in vectors], axis=1)
    return np.concatenate([given, np.zeros_like(given)], axis=1)


def probed(rows: list[np.ndarray], each: int) -> np.ndarray:
    x, y = np.array(rows, np.float32), np.zeros(len(rows), np.int64)
    order: Any = SimpleNamespace(labels=np.array([len(rows), 0]))
    return np.asarray(Bases(each)(x, y, order)["bases"])


def between(one: np.ndarray, other: np.ndarray, **given: Any) -> float:
    return float(PrincipalAngles(2, **given)._compared(one[None], other[None])[0][0, 0])


@pytest.mark.hand("pacfl")
def test_two_lines_at_45_degrees() -> None:
    one, other = probed([E[0], 2 * E[0]], 1), probed([E[0] + E[1], -E[0] - E[1]], 1)
    assert between(one, other) == pytest.approx(45.0, abs=1e-4)
    assert between(one, other, entrywise=True) == pytest.approx(45.0, abs=1e-4)


@pytest.mark.hand("pacfl")
def test_the_same_plane_by_another_basis() -> None:
    """True angle 0, entrywise 45 degrees."""
    one, other = probed([3 * E[0], E[1]], 2), probed([3 * (E[0] + E[1]), E[0] - E[1]], 2)
    assert between(one, other) == pytest.approx(0.0, abs=0.1)
    assert between(one, other, entrywise=True) == pytest.approx(45.0, abs=1e-3)


def test_the_sum_of_two_planes_angles() -> None:
    """span{e₁, e₂} and span{e₁, e₂ + e₃}: 0 and 45 degrees; a right angle with nothing at all."""
    one, other = columns(E[0], E[1]), columns(E[0], E[1] + E[2])
    assert between(one, other, measure="sum") == pytest.approx(45.0, abs=1e-5)
    assert between(one, np.zeros_like(one), measure="sum") == 90.0 == between(np.zeros_like(one), one)


def test_angles_are_scipys() -> None:
    rng = np.random.default_rng(0)
    stacked = [rng.normal(size=(12, n)) for n in (1, 3, 4, 2)]
    spans = [np.linalg.qr(one)[0] for one in stacked]
    smallest, total = angles(spans, spans)
    for i in range(4):
        for j in range(4):
            if i != j:
                found = np.degrees(subspace_angles(stacked[i], stacked[j]))
                assert smallest[i, j] == pytest.approx(found.min(), abs=1e-6)
                assert total[i, j] == pytest.approx(found.sum(), abs=1e-5)


def test_leading_directions_are_singular_vectors_and_no_noise() -> None:
    rng = np.random.default_rng(1)
    for shape in ((4, 9), (9, 4)):
        rows = rng.normal(size=shape)
        direct = np.linalg.svd(rows.T, full_matrices=False)[0][:, :3]
        np.testing.assert_allclose(np.abs(direct.T @ leading(rows, 3)), np.eye(3), atol=1e-7)
    assert leading(np.stack([E[0], 2 * E[0], -E[0]]), 3).shape == (5, 1)  # of one dimension
    assert leading(np.zeros((3, 5)), 3).shape == (5, 0)
    twice = np.stack([columns(E[0], E[0] + 1e-6 * E[1])])
    assert _spans(twice)[0].shape == (5, 1)


def test_weighted_linkage_is_scipys() -> None:
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import pdist, squareform

    condensed = pdist(np.random.default_rng(2).normal(size=(9, 3)))
    found = merge(squareform(condensed), "weighted")
    np.testing.assert_allclose(found.heights, linkage(condensed, "weighted")[:, 2], rtol=1e-12)
    assert not np.allclose(found.heights, merge(squareform(condensed)).heights)


LINES = {4001: E[0], 17: E[1], 902: E[0] + 0.1 * E[1], 33: E[1] + 0.1 * E[0]}


def surveyed(part: PrincipalAngles, ids: tuple[int, ...], groups: Groups, memory: Spans) -> Any:
    at = world(IDS, 6)
    asked = orders(ids, np.zeros(6, np.float32))
    bases = {i: columns(LINES[i], LINES[i]) for i in ids}
    came = answer(asked, dict.fromkeys(ids, np.zeros(6, np.float32)), at.layout, extras={"bases": bases})
    return part.assign(at, groups, memory, asked, came, survey=True)


@pytest.mark.parametrize("cut", [{"k": 2}, {"k": 0, "beta": 10.0}], ids=["k", "beta"])
def test_two_groups_and_who_is_late(cut: dict[str, Any]) -> None:
    """5.7 degrees within a pair, at least 78.6 across; 33 answers the second survey and joins 17."""
    part = PrincipalAngles(**cut, each=2)
    first = surveyed(part, (4001, 17, 902), Groups.empty(0), Spans())
    assert first.groups.as_dict() == {17: 0, 902: 1, 4001: 1} and first.memory.ids.tolist() == [17, 902, 4001]
    assert first.info.values["angle_within"] == pytest.approx(np.degrees(np.arctan(0.1)), abs=1e-4)
    late = surveyed(part, (33,), first.groups, first.memory)
    assert late.groups.as_dict() == {17: 0, 33: 0, 902: 1, 4001: 1}
    assert not late.memory.ids.size  # nobody is missing, so nothing of the clients' data is kept


def test_beta_at_its_ends() -> None:
    alone = surveyed(PrincipalAngles(0, -1.0, each=2), IDS, Groups.empty(0), Spans())
    one = surveyed(PrincipalAngles(0, float("inf"), each=2), IDS, Groups.empty(0), Spans())
    assert alone.groups.numbers.size == 4 and one.groups.numbers.size == 1


def test_the_survey_costs_bases_and_no_model() -> None:
    at = run(rounds=1, method={"name": "pacfl", "k": 2})
    d, first = at.setup.world.layout.d, at.rows[0]
    assert first["bytes_up"] == 8 * 4 * 64 * 3 * 10 and first["bytes_down"] == 0
    assert at.rows[1]["bytes_down"] == 8 * 4 * d


def test_who_was_away_is_asked_again() -> None:
    at = run(rounds=8, method={"name": "pacfl", "k": 2}, cohort={"share": 1.0, "dropout": 0.5})
    bases = [row["bytes_up"] - 4 * at.setup.world.layout.d * row["answered"] for row in at.rows]
    sent = [size // (4 * 64 * 3 * 10) for size in bases]
    assert 0 < sent[0] < 8 == sum(sent) == at.state.groups.ids.size and sent[-1] == 0


def test_one_group_is_fedavg() -> None:
    theirs = run(method={"name": "fedavg"}).state.average
    for given in ({"k": 1}, {"k": 0, "beta": 90.0}):
        assert np.array_equal(run(method={"name": "pacfl", **given}).state.average, theirs)


@pytest.mark.parametrize("more", [{}, {"measure": "sum"}, {"entrywise": True, "linkage": "weighted"}])
def test_clients_with_the_same_classes_are_found(more: dict[str, Any]) -> None:
    found = metrics(
        rounds=1,
        partition={"kind": "disjoint-labels", "clients": 8, "groups": 2},
        method={"name": "pacfl", "k": 2, "grouping": more},
        evaluate={"every": 1},
    )
    assert found["ari"] == 1.0


def test_refused() -> None:
    for given in ({"k": -1}, {"k": 0}, {"k": 2, "beta": 5.0}, {"each": 0}, {"measure": "mean"}, {"linkage": "ward"}):
        with pytest.raises(UserError):
            PrincipalAngles(**given)
    with pytest.raises(UserError, match="entrywise"):
        PrincipalAngles(2, entrywise=True, measure="sum")
    with pytest.raises(UserError, match="at most 1,000"):
        PrincipalAngles(2).init(world(range(1001), 6))
