"""Partners and groups, as both sides work them out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from secure_bed import Federation, name

from disue.secure.wire import rules
from disue.secure.wire.messages import Grouped
from disue.secure.wire.names import CellTooSmall, GroupTooSmall, UnknownSender
from disue.secure.wire.opening import OWN_START
from disue.secure.wire.roster import Roster

CTX = bytes(range(32))
ROSTER = Roster.of({name(index): bytes([index]) * 32 for index in range(100)})


def test_the_partners_are_mutual_and_nobody_is_alone():
    present = tuple(range(90))
    found = {me: rules.masked_with(ROSTER, CTX, present, me) for me in present}
    assert all(me in found[other] for me in present for other in found[me])
    assert {len(with_) for with_ in found.values()} == {64}
    assert rules.masked_with(ROSTER, CTX, (3, 4, 9), 4) == (3, 9)


def test_groups_are_refused_by_name():
    fed = Federation(8)
    opened = replace(fed.open(), starts=(bytes(32), bytes([1]) * 32), min_cell=2)
    opened = replace(opened, cohort=tuple((index, index // 4 if index < 7 else OWN_START) for index in range(8)))
    cohort = tuple(range(8))
    rules.grouped(opened, cohort, Grouped(((0, (0, 1, 4, 5)), (2, (2, 3, 7))), cohort))  # an own start is no cell
    with pytest.raises(CellTooSmall):
        rules.grouped(opened, cohort, Grouped(((0, (0, 1, 4)), (2, (2, 3, 5, 6))), cohort))
    with pytest.raises(GroupTooSmall):
        rules.grouped(opened, cohort, Grouped(((0, (0, 1)),), cohort))
    with pytest.raises(UnknownSender):
        rules.grouped(opened, cohort[:5], Grouped(((0, (0, 1, 6)),), cohort))
