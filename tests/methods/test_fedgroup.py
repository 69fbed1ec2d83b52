"""FedGroup: main directions and MADC by hand and against the definition, placing, planted groups, identities."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from methods_bed import metrics, run

from disue.core.errors import UserError
from disue.parts.grouping import ColdStart
from disue.parts.grouping.cold_start import decomposed, first_seen, madc
from fakes import answer, orders, vec, world

IDS = (4001, 17, 902, 33)


def direction(*first: float) -> np.ndarray:
    out: np.ndarray = vec(*first, *[0.0] * (6 - len(first)))
    return out


@pytest.mark.hand("fedgroup")
def test_two_directions_twice() -> None:
    """Δ = 2e₁, e₁, e₂, 3e₂: features (1, 0), (1, 0), (0, 1), (0, 1) up to sign and order."""
    rows = np.stack([direction(2.0), direction(1.0), direction(0.0, 1.0), direction(0.0, 3.0)]).astype(float)
    found = np.abs(decomposed(rows @ rows.T, 2))
    np.testing.assert_allclose(found[:, np.argsort(-found[0])], [[1, 0], [1, 0], [0, 1], [0, 1]], atol=1e-12)


def test_main_directions_are_those_of_the_singular_value_decomposition() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(7, 30))
    right = np.linalg.svd(rows, full_matrices=False)[2][:3]
    direct = rows @ right.T / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(decomposed(rows @ rows.T, 3)), np.abs(direct), atol=1e-12)
    still = np.concatenate([rows, np.zeros((1, 30))])
    assert not decomposed(still @ still.T, 3)[-1].any()


def test_madc_is_its_definition() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(6, 4))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit @ unit.T
    found = madc(cosines)
    for i in range(6):
        for j in range(6):
            others = [m for m in range(6) if m not in (i, j)]
            mean = np.mean([abs(cosines[i, m] - cosines[j, m]) for m in others]) if i != j else 0.0
            assert found[i, j] == pytest.approx(mean, abs=1e-12)
    assert np.array_equal(madc(np.eye(2)), np.zeros((2, 2)))


def test_clusters_are_numbered_by_their_first_members() -> None:
    assert first_seen(np.array([3, 3, 0, 5, 0])).tolist() == [0, 0, 1, 2, 1]


def assigned(part: ColdStart, moved: dict[int, np.ndarray], ids: tuple[int, ...] = IDS, **given: Any) -> Any:
    at = world(ids, 6)
    asked = orders(tuple(moved), np.zeros(6, np.float32))
    first = part.init(at)
    groups, memory = given.get("groups", first.groups), given.get("memory", first.memory)
    return part.assign(at, groups, memory, asked, answer(asked, moved, at.layout), survey=True)


@pytest.mark.parametrize("measure", ["edc", "madc"])
def test_two_groups_of_two(measure: str) -> None:
    moved = {4001: direction(2.0), 17: direction(0.0, 1.0), 902: direction(1.0), 33: direction(0.0, 3.0)}
    groups = assigned(ColdStart(2, measure), moved).groups
    assert groups.as_dict() == {17: 0, 33: 0, 902: 1, 4001: 1}


def test_who_is_not_drawn_goes_to_the_nearest_direction() -> None:
    """Two of six are drawn and make two groups; the direction of the others says where they belong."""
    ids = (4001, 17, 902, 33, 5, 77)
    part = ColdStart(2, per_group=1)
    drawn = part._drawn(world(ids, 6)).tolist()
    rest = [i for i in ids if i not in drawn]
    moved = {drawn[0]: direction(1.0, 0.2), drawn[1]: direction(0.0, 1.0)}
    moved |= {i: direction(*((1.0, 0.0) if n % 2 else (0.1, 5.0))) for n, i in enumerate(rest)}
    out = assigned(part, moved, ids)
    known = out.groups.as_dict()
    assert [known[i] for i in rest] == [known[drawn[0 if n % 2 else 1]] for n in range(len(rest))]
    assert out.info.values["placed"] == 4 and not out.memory.directions.numbers.size


def test_who_missed_the_survey_is_placed_when_it_comes() -> None:
    part = ColdStart(2)
    moved = {4001: direction(1.0), 17: direction(0.0, 1.0), 902: direction(1.0, 0.1)}
    first = assigned(part, moved)
    assert 33 not in first.groups.ids and first.memory.directions.numbers.size == 2
    late = assigned(part, {33: direction(0.2, 1.0)}, groups=first.groups, memory=first.memory)
    assert late.groups.as_dict() == {**first.groups.as_dict(), 33: first.groups.as_dict()[17]}
    still = assigned(part, {17: direction(1.0)}, groups=late.groups, memory=late.memory)
    assert still.groups == late.groups


def test_more_groups_than_directions_are_said() -> None:
    out = assigned(ColdStart(3), {i: direction(1.0) for i in IDS})
    assert out.groups.numbers.tolist() == [0] and out.info.notes == (
        "cold-start: 3 groups asked for, 1 made of 4 clients",
    )


def test_one_group_is_fedavg() -> None:
    ours, theirs = run(method={"name": "fedgroup", "k": 1}), run(method={"name": "fedavg"})
    assert np.array_equal(ours.state.average, theirs.state.average)


@pytest.mark.parametrize("measure", ["edc", "madc"])
def test_planted_groups_are_found(measure: str) -> None:
    found = metrics(
        rounds=20,
        partition={"kind": "permuted-labels", "clients": 8, "groups": 2},
        method={"name": "fedgroup", "k": 2, "grouping": {"measure": measure}},
        evaluate={"every": 20},
    )
    assert found["ari"] == 1.0 and found["group_local"] > 80


def test_groups_stand_after_the_cold_start() -> None:
    one, more = run(rounds=1, method={"name": "fedgroup", "k": 3}), run(rounds=3, method={"name": "fedgroup", "k": 3})
    assert one.state.groups == more.state.groups and one.state.groups.numbers.size == 3
    assert all(not np.array_equal(a, b) for a, b in pairwise(more.state.models))


def test_ranges() -> None:
    for given in ({"k": 0}, {"measure": "cosine"}, {"per_group": 0}):
        with pytest.raises(UserError):
            ColdStart(**given)
