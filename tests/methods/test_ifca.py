"""IFCA: the choice by hand, planted groups are found, a collapse is said."""

from __future__ import annotations

import numpy as np
import pytest
from methods_bed import metrics

from disue.core.groups import Groups
from disue.parts.grouping import ByChoice
from disue.parts.grouping.by_choice import Streak
from fakes import answer, orders, vec, world


@pytest.mark.hand("ifca")
def test_who_answers_moves_and_who_does_not_stays() -> None:
    at = world((4001, 17, 902), 6)
    part = ByChoice(2)
    groups = Groups.make({902: 1, 17: 1}, numbers=[0, 1])
    chosen = {4001: (0.0, 1.0), 17: (1.0, 0.0)}
    asked = orders((4001, 17, 902), np.zeros(6, np.float32))
    came = answer(asked, {4001: vec(*[0.0] * 6), 17: vec(*[0.0] * 6)}, at.layout, chosen=chosen)
    out = part.assign(at, groups, Streak(), asked, came, survey=False)
    assert out.groups.as_dict() == {17: 0, 902: 1, 4001: 1}
    assert groups.as_dict() == {17: 1, 902: 1}


def test_a_collapse_is_said_once() -> None:
    at = world((4001, 17), 6)
    part, groups, memory, said = ByChoice(2), Groups.empty(2), Streak(), []
    for round in range(12):
        asked = orders((4001, 17), np.zeros(6, np.float32), round=round)
        ends = {i: vec(*[0.0] * 6) for i in (4001, 17)}
        came = answer(asked, ends, at.layout, chosen={4001: (1.0, 0.0), 17: (1.0, 0.0)})
        out = part.assign(at, groups, memory, asked, came, survey=False)
        groups, memory = out.groups, out.memory
        said += [round] * len(out.info.notes)
    assert said == [9]


def test_planted_groups_are_found() -> None:
    """Two groups of clients whose labels are permuted: no one model can serve both."""
    found = metrics(
        rounds=25,
        partition={"kind": "permuted-labels", "clients": 8, "groups": 2},
        cohort={"share": 1.0},
        method={"name": "ifca", "k": 2},
        evaluate={"every": 25},
    )
    assert found["ari"] == 1.0 and found["group_local"] > 80
