"""Leaders, holders and thresholds, as both sides work them out."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from federation import Federation, name

from disue.secure.wire import rules
from disue.secure.wire.messages import Grouped
from disue.secure.wire.names import CellTooSmall, GroupTooSmall, UnknownSender
from disue.secure.wire.opening import OWN_START
from disue.secure.wire.roster import Roster

CTX = bytes(range(32))
ROSTER = Roster.of({name(index): bytes([index]) * 32 for index in range(100)})


def lowest(kind: bytes, members: tuple[int, ...], count: int) -> tuple[int, ...]:
    """By the definition: SHA-256 of label, context and client id."""
    rank = {index: hashlib.sha256(b"disue/1/" + kind + b"\0" + CTX + name(index)).digest() for index in members}
    return tuple(sorted(sorted(members, key=rank.__getitem__)[:count]))


def test_who_leads():
    few, many = tuple(range(5, 37)), tuple(range(5, 38))
    assert rules.leaders(ROSTER, CTX, few) == few
    assert rules.leaders(ROSTER, CTX, many) == lowest(b"leader", many, 16)
    assert rules.leaders(ROSTER, bytes(32), many) != rules.leaders(ROSTER, CTX, many)


def test_who_holds():
    few, many = tuple(range(64)), tuple(range(1, 100))
    assert rules.holders(ROSTER, CTX, few) == few
    assert rules.holders(ROSTER, CTX, many) == lowest(b"holder", many, 64)


@pytest.mark.parametrize("h", range(3, 101))
def test_two_thirds_of_the_holders_open_a_secret(h: int):
    """t of each kind from c colluders, who answer both, and the rest, who answer one: never with c ≤ ⌈h/3⌉ − 1."""
    t = rules.threshold(h)
    assert t <= h
    colluders = -(-h // 3) - 1
    assert 2 * t > (h - colluders) + 2 * colluders


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
