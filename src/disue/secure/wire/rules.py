"""What both sides work out for themselves, so that nobody has to be believed: leaders, holders, thresholds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from disue.secure.wire.hashes import holder_rank, leader_rank, partner_rank
from disue.secure.wire.masks import partners
from disue.secure.wire.messages import Grouped
from disue.secure.wire.names import CellTooSmall, GroupTooSmall, UnknownSender
from disue.secure.wire.opening import OWN_START, Open
from disue.secure.wire.roster import Roster

ALL_LEAD = 32  # up to this many everybody leads
LEADERS = 16
HOLDERS = 64
DEGREE = 64


def leaders(roster: Roster, of_round: bytes, members: Sequence[int]) -> tuple[int, ...]:
    """Those whose contributions make the sketch seed, ascending; all of them must deliver."""
    if len(members) <= ALL_LEAD:
        return tuple(members)
    ranked = sorted(members, key=lambda index: leader_rank(of_round, roster.ids[index]))
    return tuple(sorted(ranked[:LEADERS]))


def holders(roster: Roster, of_keys: bytes, members: Sequence[int]) -> tuple[int, ...]:
    """Those who hold shares, ascending: of the whole cohort, whatever the groups."""
    if len(members) <= HOLDERS:
        return tuple(members)
    ranked = sorted(members, key=lambda index: holder_rank(of_keys, roster.ids[index]))
    return tuple(sorted(ranked[:HOLDERS]))


def threshold(count: int) -> int:
    """Shares that open a secret: two disjoint answers cannot both reach it with up to a third of holders colluding."""
    return 2 * count // 3 + 1


def masked_with(roster: Roster, of_sum: bytes, present: Sequence[int], me: int) -> tuple[int, ...]:
    """The partners of a member among those present in a pass, on a graph that nobody could choose."""
    order = sorted(present, key=lambda index: partner_rank(of_sum, roster.ids[index]))
    return partners(order, me, DEGREE)


def grouped(opened: Open, cohort: Sequence[int], body: Grouped) -> None:
    """Refuses groups of strangers, groups below the floor, and members alone with their start model in a group."""
    there = set(cohort)
    for _, members in body.groups:
        for index in members:
            if index not in there:
                raise UnknownSender(index)
        if len(members) < opened.min_group:
            raise GroupTooSmall(len(members), opened.min_group)
        starts = Counter(start for index in members if (start := opened.starts_of[index]) < OWN_START)
        if starts and min(starts.values()) < opened.min_cell:
            raise CellTooSmall(min(starts.values()), opened.min_cell)
