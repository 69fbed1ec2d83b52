"""CFL: nested splits are of ids, thresholds by hand, planted groups are found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from methods_bed import metrics

from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.parts.grouping import Bipartition
from disue.parts.grouping.bipartition import Scale
from fakes import answer, orders, vec, world

A, B, C = (4001, 17), (902, 33), (5, 77)  # three groups of two; no id is a position


def direction(*first: float) -> np.ndarray:
    return vec(*first, *[0.0] * (6 - len(first)))


def split_of(part: Bipartition, groups: Groups, moved: dict[int, np.ndarray], memory: Scale | None = None) -> Any:
    ids = tuple(moved)
    at = world((*A, *B, *C), 6)
    asked = orders(ids, np.zeros(6, np.float32), round=1)
    came = answer(asked, moved, at.layout)
    return part.assign(at, groups, memory or Scale(), asked, came, survey=False)


def members(groups: Groups) -> list[set[int]]:
    return sorted((set(groups.members(n).tolist()) for n in groups.present().tolist()), key=min)


@pytest.mark.hand("cfl")
@pytest.mark.parametrize("linkage", ["complete", "single"])
def test_nested_splits_are_of_ids(linkage: str) -> None:
    """Cosine 1 within a pair, −1 between C and the rest, 0 between A and B: first C parts, then A from B."""
    part = Bipartition(eps1=10.0, eps2=0.1, after=0, linkage=linkage)
    moved = {i: direction(1.0, 1.0) for i in A} | {i: direction(1.0, 1.0 - 1e-3) for i in B}
    moved |= {i: direction(-1.0, -1.0) for i in C}
    once = split_of(part, Groups.one(np.array([*A, *B, *C])), moved).groups
    assert members(once) == [set(C), {*A, *B}]
    apart = {i: direction(1.0, 0.0) for i in A} | {i: direction(0.0, 1.0) for i in B} | {i: moved[i] for i in C}
    twice = split_of(part, once, apart).groups
    assert members(twice) == [set(C), set(A), set(B)]
    assert set(twice.ids.tolist()) == {*A, *B, *C}  # nobody vanished
    parents = twice.parent_of()
    assert {parents[int(n)] for n in twice.at(np.array([A[0], B[0]]))} == {int(once.at(np.array([A[0]]))[0])}


@pytest.mark.hand("cfl")
def test_thresholds() -> None:
    """Updates (3, 0), (3, 0), (−3, 0), (−3, 0): the mean has length 0 and the largest 3."""
    ids = (*A, *B)
    moved = {i: direction(3.0 if i in A else -3.0) for i in ids}
    groups = Groups.one(np.array(ids))

    def parted(**given: Any) -> bool:
        return len(members(split_of(Bipartition(**{"after": 0, **given}), groups, moved).groups)) == 2

    assert parted() and parted(eps2=2.9)
    assert not parted(eps2=3.1) and not parted(eps1=0.0) and not parted(after=2)


def test_relative_thresholds_are_in_units_of_the_longest_mean() -> None:
    ids = (*A, *B)
    moved = {i: direction(3.0 if i in A else -2.0) for i in ids}  # mean ½, largest 3
    groups, part = Groups.one(np.array(ids)), Bipartition(eps1=0.4, eps2=1.6, relative=True, after=0)
    for longest, count in ((1.0, 1), (1.5, 2), (2.0, 1)):  # ½ > 0.4; ½ < 0.6 and 3 > 2.4; 3 < 3.2
        assert len(members(split_of(part, groups, moved, Scale(longest)).groups)) == count
    assert split_of(part, groups, moved, Scale(0.1)).memory.longest == 0.5


def test_a_group_with_absent_members_is_left_alone_and_said_once() -> None:
    groups = Groups.one(np.array([*A, *B]))
    moved = {A[0]: direction(3.0), A[1]: direction(3.0), B[0]: direction(-3.0)}
    out = split_of(Bipartition(after=0), groups, moved)
    assert out.groups == groups and "every" in out.info.notes[0]
    assert split_of(Bipartition(after=0), groups, moved, out.memory).info.notes == ()


@pytest.mark.parametrize("more", [{}, {"every": 5}], ids=["cohort", "survey"])
def test_planted_groups_are_found(more: dict[str, Any]) -> None:
    grouping = {"kind": "bipartition", "relative": True, "eps1": 0.7, "eps2": 1.6, "after": 10, **more}
    found = metrics(
        rounds=60,
        partition={"kind": "permuted-labels", "clients": 8, "groups": 2},
        cohort={"share": 0.5 if more else 1.0},
        method={"name": "cfl", "grouping": grouping},
        evaluate={"every": 60},
    )
    assert found["ari"] == 1.0 and found["group_local"] > 80


def test_ranges() -> None:
    for given in ({"eps1": -1.0}, {"linkage": "average"}, {"after": -1}):
        with pytest.raises(UserError):
            Bipartition(**given)
