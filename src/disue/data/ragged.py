"""Rows by client as two columns: what a dictionary of small arrays would be, without an object for a client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from disue.core.checks import IntVector, frozen


@dataclass(frozen=True, eq=False)
class Ragged:
    """Client at position j owns `rows[starts[j] : starts[j + 1]]`. rows (Σ,), starts (clients + 1,), int64."""

    rows: IntVector
    starts: IntVector

    @staticmethod
    def of(parts: Sequence[IntVector]) -> Ragged:
        """From one array of rows per client."""
        lengths = np.array([len(part) for part in parts], np.int64)
        rows = np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)
        return Ragged(rows, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]))

    @staticmethod
    def owned(owners: IntVector, ids: IntVector) -> Ragged:
        """The rows j, ascending, whose `owners[j]` is each of `ids` (in their order)."""
        order = np.argsort(owners, kind="stable")
        by_owner = owners[order]
        first, last = (np.searchsorted(by_owner, ids, side) for side in ("left", "right"))
        lengths = (last - first).astype(np.int64)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        return Ragged(order[_spans(first.astype(np.int64), lengths)].astype(np.int64), starts)

    @property
    def lengths(self) -> IntVector:
        """(clients,) rows of each."""
        return np.asarray(np.diff(self.starts), np.int64)

    def at(self, position: int) -> IntVector:
        """The rows of one client, read-only."""
        return frozen(self.rows[self.starts[position] : self.starts[position + 1]])

    def many(self, positions: IntVector) -> tuple[IntVector, IntVector]:
        """(rows of these clients one after the other, how many each has)."""
        lengths = self.lengths[positions]
        return self.rows[_spans(self.starts[:-1][positions], lengths)], lengths


def _spans(firsts: IntVector, lengths: IntVector) -> IntVector:
    """firsts[0], firsts[0] + 1, … (lengths[0] of them), firsts[1], …"""
    before = np.cumsum(lengths) - lengths
    out: IntVector = np.arange(int(lengths.sum()), dtype=np.int64) + np.repeat(firsts - before, lengths)
    return out
