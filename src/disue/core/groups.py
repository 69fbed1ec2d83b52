"""Who belongs together: a map from client ids to group numbers with the groups' lineage.

Never made from positions: every constructor takes client ids, and a split must account for exactly the
members of its parent. (Positions of a sub-matrix stored as ids are the best known fault of public
clustered federated code.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from disue.core.checks import IntMatrix, IntVector, Mask, frozen
from disue.core.checks import ids as check_ids
from disue.core.errors import UserError

UNKNOWN = -1  # the group of a client that was never placed


def _ints(values: Iterable[int] = ()) -> IntVector:
    return np.array(list(values), np.int64)


@dataclass(frozen=True, eq=False)
class Groups:
    """Group numbers are names too: never re-used, and what a new group inherits comes from its parent.

    ids      (n,) client ids, ascending
    of       (n,) the group of each
    numbers  (g,) the groups that exist, ascending; a group may be empty (it keeps its model)
    parents  (g,) the group each was born from, -1 for none
    gone     (r, 2) number and parent of groups that are no more, so that no line of descent is cut
    """

    ids: IntVector = field(default_factory=_ints)
    of: IntVector = field(default_factory=_ints)
    numbers: IntVector = field(default_factory=_ints)
    parents: IntVector = field(default_factory=_ints)
    born: int = 0  # the next fresh number
    gone: IntMatrix = field(default_factory=lambda: np.zeros((0, 2), np.int64))

    @staticmethod
    def make(mapping: Mapping[int, int], numbers: Iterable[int] | None = None) -> Groups:
        """From id → group. `numbers` adds groups that have no member yet."""
        ids = check_ids("groups", _ints(sorted(mapping)))
        of = _ints(mapping[int(i)] for i in ids)
        known = np.unique(np.concatenate([of, _ints(() if numbers is None else numbers)]))
        if known.size and known[0] < 0:
            raise UserError(f"groups: group numbers are ≥ 0, got {known[0]}", key="groups")
        return Groups(ids, of, known, np.full(known.size, -1, np.int64), int(known.max(initial=-1)) + 1)

    @staticmethod
    def one(ids: IntVector) -> Groups:
        """All in group 0."""
        known = np.sort(check_ids("groups", ids))
        return Groups(known, np.zeros(known.size, np.int64), _ints([0]), _ints([-1]), 1)

    @staticmethod
    def alone(ids: IntVector) -> Groups:
        """Every client its own group, numbered in the order of ids."""
        known = np.sort(check_ids("groups", ids))
        numbers = np.arange(known.size, dtype=np.int64)
        return Groups(known, numbers.copy(), numbers, np.full(known.size, -1, np.int64), known.size)

    @staticmethod
    def empty(k: int) -> Groups:
        """`k` groups without members."""
        return Groups.make({}, numbers=range(k))

    # -- asking ------------------------------------------------------------------------------------

    def at(self, ids: IntVector) -> IntVector:
        """The group of each id, `UNKNOWN` (-1) for a client that was never placed."""
        if not self.ids.size:
            return np.full(ids.shape, UNKNOWN, np.int64)
        at = np.minimum(np.searchsorted(self.ids, ids), self.ids.size - 1)
        return np.asarray(np.where(self.ids[at] == ids, self.of[at], UNKNOWN), np.int64)

    def members(self, number: int) -> IntVector:
        """The ids in a group, ascending."""
        out: IntVector = self.ids[self.of == number]
        return out

    def sizes(self) -> IntVector:
        """(g,) members of each group, in the order of `numbers`."""
        return self._sizes

    @cached_property
    def _sizes(self) -> IntVector:  # asked for in every round, while groups seldom change
        return frozen(np.bincount(self.rows(self.of), minlength=self.numbers.size).astype(np.int64))

    def rows(self, numbers: IntVector) -> IntVector:
        """The rows of `numbers` in arrays that follow `self.numbers`, -1 where there is no such group."""
        if not self.numbers.size:
            return np.full(numbers.shape, -1, np.int64)
        at = np.minimum(np.searchsorted(self.numbers, numbers), self.numbers.size - 1)
        return np.asarray(np.where(self.numbers[at] == numbers, at, -1), np.int64)

    def among(self, ids: IntVector) -> Groups:
        """The same groups, with only those of their members that are in `ids`."""
        keep = np.isin(self.ids, ids)
        return replace(self, ids=self.ids[keep], of=self.of[keep])

    def present(self) -> IntVector:
        """The numbers of groups with at least one member."""
        return np.unique(self.of)

    def as_dict(self) -> dict[int, int]:
        return dict(zip(self.ids.tolist(), self.of.tolist(), strict=True))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Groups)
            and np.array_equal(self.ids, other.ids)
            and np.array_equal(self.of, other.of)
            and np.array_equal(self.numbers, other.numbers)
        )

    def __hash__(self) -> int:
        return hash((self.ids.tobytes(), self.of.tobytes(), self.numbers.tobytes()))

    # -- changing (always a new value) ---------------------------------------------------------------

    def assign(self, mapping: Mapping[int, int]) -> Groups:
        """Moves the clients named in `mapping` into groups that exist; all others stay."""
        strange = sorted(set(mapping.values()) - set(self.numbers.tolist()))
        if strange:
            raise UserError(f"groups: there is no group {strange[0]}; groups are {self.numbers.tolist()}", key="groups")
        ids, of = self._moved(_ints(mapping), _ints(mapping.values()))
        return replace(self, ids=ids, of=of)

    def _moved(self, ids: IntVector, of: IntVector) -> tuple[IntVector, IntVector]:
        """(ids, of) after the clients `ids`, each named once, go to `of`: columns, no object for a client."""
        at = np.minimum(np.searchsorted(self.ids, ids), max(self.ids.size - 1, 0))
        known = self.ids[at] == ids if self.ids.size else np.zeros(ids.size, bool)
        out = self.of.copy()
        out[at[known]] = of[known]
        if known.all():
            return self.ids, out
        every = np.concatenate([self.ids, ids[~known]])
        order = np.argsort(every, kind="stable")
        return every[order], np.concatenate([out, of[~known]])[order]

    def split(self, number: int, parts: Sequence[IntVector]) -> Groups:
        """Replaces a group by one child per part; refused unless the parts are exactly its members."""
        if number not in self.numbers:
            raise UserError(f"groups: there is no group {number}; groups are {self.numbers.tolist()}", key="groups")
        given = np.concatenate([np.asarray(part, np.int64) for part in parts]) if parts else _ints()
        if np.unique(given).size != given.size or set(given.tolist()) != set(self.members(number).tolist()):
            raise UserError(
                f"groups: the parts of a split must be exactly the members of group {number} "
                f"({self.members(number).tolist()}), got {[np.asarray(p).tolist() for p in parts]}",
                key="groups",
            )
        fresh = range(self.born, self.born + len(parts))
        ids, of = self._moved(given, np.repeat(_ints(fresh), _ints(len(part) for part in parts)))
        keep = self.numbers != number
        return Groups(
            ids,
            of,
            np.concatenate([self.numbers[keep], _ints(fresh)]),
            np.concatenate([self.parents[keep], np.full(len(parts), number, np.int64)]),
            self.born + len(parts),
            self._gone(~keep),
        )

    def inhabited(self) -> Groups:
        """Without the groups that have no member left; what is born of them still knows its descent."""
        keep = np.isin(self.numbers, self.of)
        return replace(self, numbers=self.numbers[keep], parents=self.parents[keep], gone=self._gone(~keep))

    def _gone(self, drop: Mask) -> IntMatrix:
        return np.concatenate([self.gone, np.stack([self.numbers[drop], self.parents[drop]], axis=1)])

    def parent_of(self) -> dict[int, int]:
        """Parent of every group that is or was, -1 for none."""
        known = np.concatenate([self.gone, np.stack([self.numbers, self.parents], axis=1)])
        return {int(number): int(parent) for number, parent in known}

    def match(self, found: Sequence[IntVector]) -> Groups:
        """Takes groups made anew on some clients (`found`: their ids) and gives them the standing names.

        Each new group takes the number of the standing group with which it shares most members (one to one,
        largest total overlap, ties to the smallest number and smallest first id); without any overlap it
        gets a fresh number, its parent being the group that most of its members came from. Clients that are
        not in `found` stay; groups left without a member live on.
        """
        parts = sorted((np.sort(np.asarray(part, np.int64)) for part in found if len(part)), key=lambda p: int(p[0]))
        check_ids("groups", np.concatenate([_ints(), *parts]))
        overlap = np.zeros((len(parts), self.numbers.size))
        for row, part in enumerate(parts):
            standing = self.rows(self.at(part))
            overlap[row] = np.bincount(standing[standing >= 0], minlength=self.numbers.size)
        taken: dict[int, int] = {}
        if overlap.size:
            from scipy.optimize import linear_sum_assignment  # takes a second to load, and few runs need it

            # A bonus, below 1 in total, that falls with row and with column: of equal overlaps the smallest
            # first id takes the smallest number. (A plain slope would leave two rows and two columns tied.)
            bonus = np.outer(np.arange(overlap.shape[0], 0, -1), np.arange(overlap.shape[1], 0, -1))
            bonus = np.where(overlap > 0, bonus / (2.0 * overlap.size * min(overlap.shape)), 0.0)
            for new, old in zip(*linear_sum_assignment(overlap + bonus, maximize=True), strict=True):
                if overlap[new, old] > 0:
                    taken[int(new)] = int(self.numbers[old])
        born, extra = int(self.born), []
        for row, part in enumerate(parts):
            if row not in taken:
                known = self.at(part)[self.at(part) != UNKNOWN]
                parent = int(np.bincount(known).argmax()) if known.size else -1  # ties: smallest number
                taken[row] = int(born)
                extra.append((born, parent))
                born += 1
        lengths = _ints(part.size for part in parts)
        ids, of = self._moved(
            np.concatenate([_ints(), *parts]), np.repeat(_ints(taken[row] for row in range(len(parts))), lengths)
        )
        return Groups(
            ids,
            of,
            np.concatenate([self.numbers, _ints(n for n, _ in extra)]),
            np.concatenate([self.parents, _ints(p for _, p in extra)]),
            born,
            self.gone,
        )
