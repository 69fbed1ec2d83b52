"""Phases that say their steps themselves (`core.clients.Walking`): all of it but the gradient.

`loop` and `lean` take a gradient each in its own way. What is made of it is the same code for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from disue.core.checks import IntVector
from disue.core.clients import Batch, Phase, Sgd, Walking
from disue.engine.batches import Draws


class Gradient(Protocol):
    """(loss, gradient (d,), the vector after the pass, whose statistics have moved) of a phase's loss at a vector."""

    def __call__(self, at: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]: ...


class WalkingPhase(Phase, Walking, Protocol): ...


@dataclass
class Walk:
    """One client's walk through a phase. `context` is changed: it holds the vectors as they stand.

    least   samples that a batch has at least      mask  (d,) of bool, the entries that move
    gather  samples → the batch they make
    """

    phase: WalkingPhase
    context: dict[str, Tensor]
    mask: Tensor
    gather: Callable[[IntVector], Batch]
    gradient: Gradient
    least: int = 1

    @torch.no_grad()
    def run(self, draws: Draws, size: int) -> tuple[int, int, Tensor]:
        """(steps, samples seen, sum of their losses, each taken at a step's first gradient)."""
        phase, velocity, steps, seen = self.phase, dict[str, Tensor](), 0, 0
        total = torch.zeros((), dtype=torch.float64, device=self.mask.device)
        for rows in draws.steps(phase.vector, size, phase.sgd, self.least, phase.batches):
            step = _Step(self, phase.sgd, [self.gather(some) for some in rows], velocity)
            self.context.update(phase.walk(step, self.context))
            samples = sum(len(some) for some in rows)
            steps, seen = steps + 1, seen + samples
            total = total if step.first is None else total + step.first * samples
        return steps, seen, total


class _Step:
    """`core.clients.Step`. The velocities are those of the phase, by the name of the vector."""

    def __init__(self, walk: Walk, sgd: Sgd, batches: Sequence[Batch], velocity: dict[str, Tensor]) -> None:
        self._walk, self._sgd, self._batches, self._velocity = walk, sgd, batches, velocity
        self.first: Tensor | None = None  # the loss at the first gradient
        self.moves = walk.mask

    def slope(self, at: Tensor, batch: int = 0) -> Tensor:
        loss, gradient, after = self._walk.gradient(at, self._batches[batch])
        self.first = loss.double() if self.first is None else self.first
        if self._sgd.clip > 0:
            gradient = gradient * (self._sgd.clip / gradient.norm()).clamp(max=1.0)
        if self._sgd.weight_decay > 0:
            gradient = torch.where(self.moves, gradient + self._sgd.weight_decay * at, gradient)
        at.copy_(torch.where(self.moves, at, after))
        return gradient

    def along(self, vector: str, way: Tensor) -> Tensor:
        if self._sgd.momentum > 0:
            before = self._velocity.get(vector, torch.zeros_like(way))
            way = self._velocity[vector] = self._sgd.momentum * before + way
        now = self._walk.context[vector]
        return torch.where(self.moves, now - self._sgd.lr * way, now)
