"""A floor on how many members a group's sum is made of: a rule of grouping, the same in plain and in protected runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from disue.core.checks import Float64, IntVector, Matrix, Vector
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import Info

MERGES = ("nearest", "skip")


@dataclass(frozen=True)
class Floor:
    """Groups of which fewer than `members` answered have no sum of their own this round.

    members  the floor; 1: every group that is present has its sum
    merge    "nearest": those who answered count in the group whose model is most alike (by the cosine of the models
             about their mean, smallest group first), and keep their own group; "skip": their updates are not used
    """

    members: int = 1
    merge: str = "nearest"

    def __post_init__(self) -> None:
        if self.members < 1:
            raise UserError(f"floor.members must be ≥ 1, got {self.members}", key="floor.members", found=self.members)
        if self.merge not in MERGES:
            raise UserError(
                f'floor.merge must be "nearest" or "skip", got "{self.merge}"', key="floor.merge", found=self.merge
            )

    def counted(self, groups: Groups, models: Matrix, average: Vector, ids: IntVector) -> tuple[Groups, Info]:
        """Where each of those who answered (`ids`) counts this round; rows of `models` follow `groups.numbers`."""
        if self.members <= 1:
            return groups, Info()
        there = groups.among(ids)
        sizes = dict(zip(there.numbers.tolist(), there.sizes().tolist(), strict=True))
        present = [number for number, size in sizes.items() if size]
        small = [number for number in present if sizes[number] < self.members]
        if not small:
            return groups, Info({"floor.merged": 0.0, "floor.skipped": 0.0})
        if self.merge == "skip" or sum(sizes.values()) < self.members:
            kept = np.isin(there.of, [number for number in present if number not in small])
            left = groups.among(np.setdiff1d(groups.ids, there.ids[~kept]))
            return left, Info({"floor.merged": 0.0, "floor.skipped": float((~kept).sum())})
        into = {number: number for number in present}
        alike = _alike(models, average)
        row = {number: at for at, number in enumerate(groups.numbers.tolist())}
        while small:
            number = min(small, key=lambda g: (sizes[g], g))
            others = [g for g in present if g != number and sizes[g]]
            to = max(others, key=lambda g: (alike[row[number], row[g]], -g))
            sizes[to], sizes[number] = sizes[to] + sizes[number], 0
            into = {g: to if at == number else at for g, at in into.items()}
            small = [g for g in present if 0 < sizes[g] < self.members]
        moved = {int(i): into[int(g)] for i, g in zip(there.ids, there.of, strict=True) if into[int(g)] != int(g)}
        return groups.assign(moved), Info({"floor.merged": float(len(moved)), "floor.skipped": 0.0})


def _alike(models: Matrix, average: Vector) -> Float64:
    """(g, g) cosines of the models about their mean, or about the average where there are two; 0 for a zero vector."""
    about = models.mean(axis=0, dtype=np.float64) if models.shape[0] > 2 else average.astype(np.float64)
    rows = models - about
    lengths = np.linalg.norm(rows, axis=1)
    rows = rows / np.where(lengths > 0, lengths, 1.0)[:, None]
    return np.asarray(rows @ rows.T, np.float64)
