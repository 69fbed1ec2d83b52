"""Lots: sets of clients that always appear together, in cohorts and in sums of what hardly changes.

A quantity that stays the same from round to round (label counts, the features of the same samples) must not be summed
over changing sets of clients: enough of such sums give back each client's own. Lots stand for the whole run, so that
whatever is released about them is a function of whole lots, however many rounds there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from disue.core.checks import Float64, IntVector, frozen
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.streams import Streams


@dataclass(frozen=True, eq=False)
class Lots:
    """Which lot each client belongs to.

    ids  (n,) client ids, ascending      of  (n,) the lot of each, 0 … count − 1
    """

    ids: IntVector
    of: IntVector

    @staticmethod
    def cut(ids: IntVector, size: int, streams: Streams, groups: Groups | None = None, within: int = 0) -> Lots:
        """Lots of `size` clients in an order from the stream "lots"; the last of a group takes what is left over.

        groups  lots do not cross the groups that stand; clients without one are among themselves
        within  lots are as these would be, cut into parts: cohort lots of 5 within static lots of 10
        """
        if size < 1:
            raise UserError(f"lots must hold ≥ 1 client, got {size}", key="lot", found=size)
        ids = np.sort(np.asarray(ids, np.int64))
        order = streams("lots").permutation(ids)
        placed = np.zeros(ids.size, np.int64) if groups is None else groups.at(order)
        of = np.empty(ids.size, np.int64)
        number = 0
        for group in np.unique(placed):
            members = order[placed == group]
            for whole in _cut(members, max(within, size)):
                for lot in _cut(whole, size):
                    of[np.searchsorted(ids, lot)] = number
                    number += 1
        return Lots(frozen(ids), frozen(of))

    @property
    def count(self) -> int:
        return int(self.of.max(initial=-1)) + 1

    def sizes(self) -> IntVector:
        """(lots,)"""
        return np.bincount(self.of, minlength=self.count).astype(np.int64)

    def members(self, lot: int) -> IntVector:
        return np.asarray(self.ids[self.of == lot], np.int64)

    def whole(self, ids: IntVector) -> IntVector:
        """The lots all of whose members are in `ids`, ascending."""
        there = np.bincount(self.of[np.isin(self.ids, ids)], minlength=self.count)
        return np.flatnonzero(there == self.sizes()).astype(np.int64)

    def among(self, lots: IntVector) -> IntVector:
        """(m,) ids of the members of some lots, ascending."""
        return np.asarray(self.ids[np.isin(self.of, lots)], np.int64)

    def shares(self, groups: Groups) -> Float64:
        """(g, lots) the share of a lot's members that are in a group, rows in the order of `groups.numbers`."""
        rows = groups.rows(groups.at(self.ids))
        there = rows >= 0
        out = np.zeros((groups.numbers.size, self.count))
        np.add.at(out, (rows[there], self.of[there]), 1.0)
        return np.asarray(out / np.maximum(self.sizes(), 1)[None, :], np.float64)

    def as_groups(self, lots: IntVector) -> Groups:
        """Some lots as groups, numbered as they are, for a door that sums over groups."""
        keep = np.isin(self.of, lots)
        parents = np.full(lots.size, -1, np.int64)
        return Groups(self.ids[keep], self.of[keep], np.asarray(lots, np.int64), parents, int(lots.max(initial=-1)) + 1)

    def plain(self) -> dict[str, list[int]]:
        """For a checkpoint."""
        return {"ids": self.ids.tolist(), "of": self.of.tolist()}

    @staticmethod
    def read(plain: Mapping[str, Any]) -> Lots:
        return Lots(frozen(np.array(plain["ids"], np.int64)), frozen(np.array(plain["of"], np.int64)))


def _cut(members: IntVector, size: int) -> list[IntVector]:
    """Consecutive parts of `size`, the last with what is left over; one part of all where there are fewer."""
    parts = max(members.size // size, 1)
    cuts = [size * at for at in range(1, parts)]
    return [part for part in np.split(members, cuts) if part.size]
