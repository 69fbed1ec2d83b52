"""Where a client goes that is seen for the first time: to the group whose direction its update is nearest to.

A group's direction is its members' mean update, as it was when the group was last seen; the server has it
from the very sums of which it makes the group's model. (Mean similarity to members in the same cohort, the
other rule, can only find groups that are present: with ten of ten thousand clients, hardly any.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from disue.core.checks import IntVector, Mask, Matrix, positions
from disue.core.groups import UNKNOWN, Groups
from disue.core.layout import Part
from disue.core.orders import Orders
from disue.core.uploads import Uploads
from disue.parts.grouping.merging import TIE
from disue.parts.grouping.metrics import between, to_anchors


@dataclass(frozen=True, eq=False)
class Directions:
    """numbers (g,) groups; rows (g, p) the mean update of each in the entries of the part."""

    numbers: IntVector
    rows: Matrix

    @staticmethod
    def none() -> Directions:
        return Directions(np.zeros(0, np.int64), np.zeros((0, 0), np.float32))

    def renewed(self, mask: Mask, groups: Groups, orders: Orders, uploads: Uploads) -> Directions:
        """With this exchange's mean updates; groups that are absent keep theirs."""
        rows = {int(n): row for n, row in zip(self.numbers, self.rows, strict=True)}
        rows.update(_mean_updates(mask, groups, orders, uploads))
        keep = np.array([n for n in groups.numbers.tolist() if n in rows], np.int64)
        if not keep.size:
            return Directions.none()
        return Directions(keep, np.stack([rows[int(n)] for n in keep]))


def _mean_updates(mask: Mask, groups: Groups, orders: Orders, uploads: Uploads) -> dict[int, Matrix]:
    """Σ weight · (end − start) / Σ weight of each group, exactly, also where members started apart."""
    began = orders.which if orders.into is None else orders.into
    if orders.own or began.shape[1] != 1:
        return {}  # the server does not know what they started from
    out: dict[int, Matrix] = {}
    if orders.origin is not None:
        sums = uploads.sums(groups)
        for at, number in enumerate(sums.numbers.tolist()):
            if sums.weights[at] > 0:
                out[number] = sums.mean(at)[mask].astype(np.float32)
        return out
    # Sums are of plain ends: ask for each (group, start) apart and take the start off.
    of, start = groups.at(uploads.ids), began[positions(uploads.ids, orders.ids), 0]
    cells = sorted({(g, s) for g, s in zip(of.tolist(), start.tolist(), strict=True) if g != UNKNOWN})
    index = {cell: at for at, cell in enumerate(cells)}
    named = zip(uploads.ids.tolist(), of.tolist(), start.tolist(), strict=True)
    sums = uploads.sums(Groups.make({i: index[g, s] for i, g, s in named if g != UNKNOWN}))
    totals: dict[int, Matrix] = {}
    for at, cell in enumerate(sums.numbers.tolist()):
        number, row = cells[cell]
        update = sums.totals[at][mask] - sums.weights[at] * orders.starts[row][mask]
        totals[number] = totals[number] + update if number in totals else update
    for number, total in totals.items():
        weight = sum(w for w, c in zip(sums.weights, sums.numbers, strict=True) if cells[int(c)][0] == number)
        if weight > 0:
            out[number] = (total / weight).astype(np.float32)
    return out


def place(
    new: IntVector,
    groups: Groups,
    directions: Directions,
    part: Part,
    mask: Mask,
    uploads: Uploads,
    metric: str = "cosine",
) -> dict[int, int]:
    """Group of each new client, ties to the smallest number; without directions by present members.

    A client stays out where nothing it could be compared with is known.
    """
    if directions.numbers.size and np.isin(groups.numbers, directions.numbers).all():
        apart = to_anchors(metric, part, mask, uploads, directions.rows, new)
        numbers = directions.numbers
    else:
        standing = groups.among(uploads.ids)
        numbers = standing.present()
        if not numbers.size:
            return {}
        to, of = between(metric, part, mask, uploads, new), standing.at(uploads.ids)
        apart = np.stack([to[of == g].mean(axis=0) for g in numbers])
    nearest = np.argmax(apart <= apart.min(axis=0) + TIE, axis=0)
    return {int(i): int(numbers[g]) for i, g in zip(new, nearest, strict=True)}
