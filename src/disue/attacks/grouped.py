"""Attacks on groups: what makes the server put a liar where it does harm, or part those who belong together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from disue.attacks.knowledge import LIARS, Attack, Said, Seen, norm, updates
from disue.attacks.simple import finite
from disue.core.checks import Float64
from disue.core.errors import UserError


@dataclass(frozen=True)
class Capture(Attack):
    """Sends updates in the direction of a target group, so as to be grouped with it, then poisons its sum.

    Knows the updates of all liars, some of whom belong to the target group: the mean of what these send is the
    direction. Where none of them trained from the vector that the liar was sent, they train from it for the liar, on
    their own data; that changes nothing of what they are or send. They tell the server the truth themselves.

    In a survey, which is for grouping only, a liar sends the direction in the length of its own update u. Where updates
    are summed it sends scale · ‖u‖ · (keep · direction + √(1 − keep²) · p), p the part of u that is orthogonal to the
    direction: what its own data would have the group's model learn. Its cosine with the direction is keep.
    No published attack is followed.

    keep   cosine with the direction that is kept in rounds, for servers that group again; −1 turns it round
    scale  how many times as long as its own update
    """

    knows: ClassVar[str] = LIARS
    needs_target: ClassVar[bool] = True
    guided: ClassVar[bool] = True
    compared: ClassVar[bool] = True
    keep: float = 0.5
    scale: float = 1.0

    def __post_init__(self) -> None:
        finite("scale", self.scale, low=0)
        if not -1 <= self.keep <= 1:
            raise UserError(f"attack.keep is a cosine, in [−1, 1], got {self.keep:g}", key="attack.keep")

    def lie(self, seen: Seen) -> Sequence[Said]:
        if seen.guide is None or not norm(seen.guide) > 0:
            return seen.liars
        way = seen.guide / norm(seen.guide)
        return [said if said.inside else said.sending(self._update(said, way)) for said in seen.liars]

    def _update(self, said: Said, way: Float64) -> Float64:
        own = said.update
        if said.survey:
            return norm(own) * way
        aside = own - (own @ way) * way
        aside /= max(norm(aside), np.finfo(np.float64).tiny)
        out: Float64 = self.scale * norm(own) * (self.keep * way + math.sqrt(1 - self.keep**2) * aside)
        return out


@dataclass(frozen=True)
class Wedge(Attack):
    """Drives a group apart: liars form two camps that send opposite updates along the axis in which they differ most.

    Knows the updates of all liars. The axis is the first principal direction of their honest updates (of those who
    trained from the same vector); each joins the camp on its own side. The camps' cosine is −1, so that honest members
    fall to one or the other by the sign of a difference that is small; the camps cancel in the mean, and their length
    stays large as CFL's rule for a split looks at it. A single liar sends −scale · its update. No published attack is
    followed.

    scale  how many times as long as its own update
    """

    knows: ClassVar[str] = LIARS
    compared: ClassVar[bool] = True
    scale: float = 1.0

    def __post_init__(self) -> None:
        finite("scale", self.scale, low=0)

    def lie(self, seen: Seen) -> Sequence[Said]:
        axis, sides = axis_of(updates(seen.liars))
        if axis is None:
            return [said.sending(-self.scale * said.update) for said in seen.liars]
        return [
            said.sending(self.scale * norm(said.update) * side * axis)
            for said, side in zip(seen.liars, sides.tolist(), strict=True)
        ]


def axis_of(rows: Float64) -> tuple[Float64 | None, Float64]:
    """The first principal direction (d,) of rows (n, d), and the side (n,) of each, ±1; None where all are alike."""
    centred = rows - rows.mean(axis=0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    if not values[-1] > np.finfo(np.float64).eps * max(float((rows * rows).sum()), np.finfo(np.float64).tiny):
        return None, np.ones(len(rows))
    axis = centred.T @ vectors[:, -1]
    axis /= norm(axis)
    if axis[np.argmax(np.abs(axis))] < 0:  # an eigenvector's sign is nobody's choice
        axis = -axis
    return axis, np.where(centred @ axis >= 0, 1.0, -1.0)


@dataclass(frozen=True)
class FalseChoice(Attack):
    """Says that the target group's model is its best, and poisons the sum of those who say so.

    Knows its own answer, all models (they are sent to everybody who is to choose), and which of them fits the pooled
    data of the liars in the target group best: that is the target's. It sends that model and scale · its own update.
    Liars inside the target group tell the truth. For methods whose clients choose (IFCA). No published attack is
    followed.

    scale  factor of its own update; 1: the choice alone is a lie
    """

    needs_target: ClassVar[bool] = True
    likes: ClassVar[bool] = True
    scale: float = -1.0

    def __post_init__(self) -> None:
        finite("scale", self.scale)

    def lie(self, seen: Seen) -> Sequence[Said]:
        if seen.liked is None:
            return seen.liars
        row = seen.liked
        return [said if said.inside else said.choosing(row).sending(self.scale * said.update) for said in seen.liars]


@dataclass(frozen=True)
class FalseSketch(Attack):
    """Under protection: sketches another update than the one it sums, the target group's direction.

    Knows what `capture` knows. The protocol compares sketches and unmasks sums, and nothing ties the one to the other:
    so the sketch is of the mean update of liars inside the target group, in the length of its own, and what is summed
    is scale · its own update. Liars inside tell the truth. No published attack is followed.

    scale  factor of the update that is summed
    """

    knows: ClassVar[str] = LIARS
    needs_target: ClassVar[bool] = True
    guided: ClassVar[bool] = True
    compared: ClassVar[bool] = True
    sketches: ClassVar[bool] = True
    scale: float = -1.0

    def __post_init__(self) -> None:
        finite("scale", self.scale)

    def lie(self, seen: Seen) -> Sequence[Said]:
        if seen.guide is None or not norm(seen.guide) > 0:
            return seen.liars
        way = seen.guide / norm(seen.guide)
        out = []
        for said in seen.liars:
            if said.inside:
                out.append(said)
                continue
            own = said.update
            shown = said.sending(norm(own) * way).end
            out.append(replace(said.sending(self.scale * own), sketched=shown))
        return out
