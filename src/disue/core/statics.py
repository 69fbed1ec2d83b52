"""What is released of quantities that hardly change: sums over standing lots, with a floor for each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from disue.core.checks import Float64, IntVector, Mask
from disue.core.clients import Clients
from disue.core.groups import Groups
from disue.core.lots import Lots
from disue.core.uploads import Moments


@dataclass(frozen=True, eq=False)
class Statics:
    """Label counts of whole lots, and which classes of a lot are held back.

    labels  (lots, C) int64, with those held back at zero
    held    (lots, C) of bool: classes that some members hold, and fewer than the floor; all of a broken lot
    broken  (lots,) of bool: lots that did not come whole when they were counted, and tell nothing until they do
    """

    lots: Lots
    labels: IntVector
    held: Mask
    broken: Mask

    @staticmethod
    def of(lots: Lots, labels: IntVector, holders: IntVector, least: int) -> Statics:
        """From the sums (lots, C) of label counts and of those who hold a class; `least` holders are asked for."""
        held = (holders > 0) & (holders < least)
        return Statics(lots, np.where(held, 0, labels).astype(np.int64), held, np.zeros(lots.count, bool))

    @staticmethod
    def unknown(lots: Lots, classes: int) -> Statics:
        """Before anything was counted."""
        shape = lots.count, classes
        return Statics(lots, np.zeros(shape, np.int64), np.ones(shape, bool), np.ones(lots.count, bool))

    def told(self, lot: int, labels: IntVector, holders: IntVector, least: int) -> Statics:
        """With the counts (C,) of one more lot."""
        held = (holders > 0) & (holders < least)
        at = np.arange(self.lots.count) == lot
        return Statics(
            self.lots,
            np.where(at[:, None], np.where(held, 0, labels)[None], self.labels).astype(np.int64),
            np.where(at[:, None], held[None], self.held),
            self.broken & ~at,
        )

    @staticmethod
    def counted(lots: Lots, clients: Clients, classes: int, least: int) -> Statics:
        """As a simulation knows them."""
        labels, holders = np.zeros((lots.count, classes), np.int64), np.zeros((lots.count, classes), np.int64)
        for client, lot in zip(lots.ids.tolist(), lots.of.tolist(), strict=True):
            own = clients.label_counts(client)
            labels[lot] += own
            holders[lot] += own > 0
        return Statics.of(lots, labels, holders, least)

    def whole(self, ids: IntVector) -> IntVector:
        """The lots all of whose members are in `ids`, without the broken ones."""
        lots = self.lots.whole(ids)
        return np.asarray(lots[~self.broken[lots]], np.int64)

    def finest(self, ids: IntVector) -> Groups:
        """The whole lots among `ids`, as groups: of these `mixed` is exact."""
        return self.lots.as_groups(self.whole(ids))

    def without(self, client: int) -> IntVector:
        """The classes that a member leaves out of its moments."""
        return np.flatnonzero(self.held[self.lots.of[np.searchsorted(self.lots.ids, client)]]).astype(np.int64)

    def of_groups(self, groups: Groups) -> IntVector:
        """(g, C) label counts: each lot's sum times the share of the lot that is in the group, rounded."""
        return np.rint(self.lots.shares(groups) @ self.labels).astype(np.int64)

    def mixed(self, groups: Groups, lots: IntVector, sums: Moments) -> Moments:
        """The moments of groups from those of whole lots (rows of `sums` follow `lots`), by the shares of the lots.

        Where a lot lies in one group this is exact, else an estimate.
        """
        shares = self.lots.shares(groups)[:, lots]
        return Moments(
            groups.numbers,
            np.rint(shares @ sums.counts).astype(np.int64),
            _times(shares, sums.sums),
            _times(shares, sums.second),
            sums.cross_xx,
            sums.cross_xy,
            stale=not lots.size,
        )


def _times(shares: Float64, values: Float64) -> Float64:
    """(g, l) · (l, …)"""
    return np.asarray(np.tensordot(shares, values, axes=1), np.float64)
