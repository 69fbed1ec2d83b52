"""The native backend: a whole phase of a client in one call of compiled code.

Where a part corrects gradients in a way that it has not declared (`Fit.pull`), or batches are augmented, a
call computes one gradient, and torch does the part's own arithmetic on it. Batches are those of every
backend; sums are taken in another order.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from disue.core.checks import Array, IntVector
from disue.core.clients import Local, Phase, Walking
from disue.core.errors import UserError
from disue.core.layout import Part
from disue.core.world import Network
from disue.engine.batches import Draws, kept_generators
from disue.engine.interface import Job, Trained, Work, one_by_one
from disue.engine.moves import moves, tensors
from disue.engine.native.chain import layers_of
from disue.engine.native.check import checked
from disue.engine.native.trainer import NAMES, Trainer, Unavailable
from disue.parts.local.erm import CROSS_ENTROPY, Fit


class Native:
    """Keeps the code and the memory for the last network from call to call."""

    def __init__(self) -> None:
        self._network: Network | None = None
        self._dtype: torch.dtype | None = None
        self._found: Trainer | str = ""
        self._runs: dict[Part, IntVector] = {}

    def refuses(self, work: Work, local: Local) -> str:
        """Why this work is not trained in compiled code, as the end of a sentence; "" where it is."""
        if work.device != "cpu" or work.precision != "float32" or work.dtype not in NAMES:
            return "compiled code trains on the CPU in float32"
        for phase in local.phases:
            if isinstance(phase, Walking):
                return f"a step of {type(phase).__name__} takes more than one gradient"
            if not plain(phase):
                return f"the loss of {type(phase).__name__} is not the cross-entropy of the logits alone"
        found = self._of(work)
        return found if isinstance(found, str) else ""

    def cut(self, local: Local, sizes: Mapping[int, int]) -> list[list[int]]:
        return one_by_one(local, sizes)

    def train(self, work: Work, jobs: Iterable[Job]) -> Iterator[Trained]:
        for job in jobs:
            why, trainer = self.refuses(work, job.local), self._found
            if why or isinstance(trainer, str):
                raise UserError(f'engine.backend = "native": {why}; use "lean" or "auto"', key="engine.backend")
            begun = time.perf_counter()
            ends, steps, loss = _Client(work, job, trainer, self._runs).train()
            yield Trained(job.id, ends, steps, loss, time.perf_counter() - begun)

    def _of(self, work: Work) -> Trainer | str:
        if self._network is not work.network or self._dtype is not work.dtype:
            self._network, self._dtype, self._runs = work.network, work.dtype, {}
            self._found = made(work.network, work.dtype)
        return self._found


def plain(phase: Phase) -> bool:
    """Whether the loss of a phase is the one that is compiled: cross-entropy, with an offset or without."""
    return isinstance(phase, Fit) and type(phase).loss is Fit.loss and phase.criterion == CROSS_ENTROPY


def _declared(kind: type[Fit]) -> bool:
    """Whether `pull` speaks of the `correct` that counts: a subclass that changes one alone has not said it."""
    return next(one for one in kind.__mro__ if "correct" in vars(one)) is next(
        one for one in kind.__mro__ if "pull" in vars(one)
    )


def made(network: Network, dtype: torch.dtype) -> Trainer | str:
    """The compiled code for a network, held against torch on this machine; or why there is none."""
    layers = layers_of(network)
    if isinstance(layers, str):
        return f"the model is not compiled: {layers}"
    try:
        return checked(network, Trainer(layers, network.layout.d, dtype))
    except Unavailable as error:
        return str(error)


class _Client:
    """`runs` holds, from client to client, the stretches that a part of the vector fills."""

    def __init__(self, work: Work, job: Job, trainer: Trainer, runs: dict[Part, IntVector]) -> None:
        self.work, self.job, self.trainer, self.runs = work, job, trainer, runs
        self.inputs, self.labels = job.inputs.contiguous(), job.labels.contiguous()
        self.draws = Draws(work, job.id)

    def train(self) -> tuple[dict[str, Array], int, float]:
        """(ends by name, steps of "model", mean loss of "model")."""
        work, context = self.work, self.job.context
        fixed = tensors(context.fixed, work.dtype, work.device)
        vectors = tensors(context.trained, work.dtype, work.device)
        steps, seen, total = 0, 0, 0.0
        for phase in self.job.local.phases:
            self.trainer.flat.copy_(vectors[phase.vector])
            order, sizes = self._plan(phase)
            loss = self._phase(phase, {**fixed, **vectors}, order, sizes)
            vectors[phase.vector] = self.trainer.flat.clone()
            if phase.vector == "model":
                steps, seen, total = steps + len(sizes), seen + int(sizes.sum()), total + loss
        ends = {name: vector.numpy() for name, vector in vectors.items()}
        return ends, steps, total / seen if seen else float("nan")

    def _plan(self, phase: Phase) -> tuple[IntVector, IntVector]:
        """(rows of all samples of the phase in their order, samples of each step)."""
        rows, sizes = [np.zeros(0, np.int64)], []
        for order, cuts in self.draws.passes(phase.vector, len(self.labels), phase.sgd, 1):
            rows.append(order[: cuts[-1].stop])
            sizes += [cut.stop - cut.start for cut in cuts]
        return np.concatenate(rows), np.array(sizes, np.int64)

    def _phase(self, phase: Phase, context: Mapping[str, Tensor], order: IntVector, sizes: IntVector) -> float:
        """The sum of the losses of the samples seen; the trainer's vector is moved."""
        assert isinstance(phase, Fit)
        if phase.trains not in self.runs:
            found = moves(self.work.network.layout, phase.trains).runs
            self.runs[phase.trains] = np.array(found, np.int64).reshape(-1)
        runs = self.runs[phase.trains]
        offset = context[phase.offset].contiguous() if phase.offset else None
        pull = phase.pull(context) if _declared(type(phase)) else None
        if (pull is not None or type(phase).correct is Fit.correct) and not self.work.augment:
            return self.trainer.phase(self.inputs, self.labels, order, sizes, runs, phase.sgd, offset, pull)
        with kept_generators(self.work.device), torch.no_grad():
            self.draws.begin(phase.vector)
            self.trainer.velocity.zero_()
            total, at = 0.0, 0
            for size in sizes.tolist():
                total += self._step(phase, context, order[at : at + size], runs, offset)
                at += size
        return total

    def _step(
        self, phase: Phase, context: Mapping[str, Tensor], rows: IntVector, runs: IntVector, offset: Tensor | None
    ) -> float:
        trainer, inputs, labels = self.trainer, self.inputs, self.labels
        if self.work.augment:
            chosen = torch.from_numpy(rows)
            inputs = self.draws.augment(phase.vector, inputs[chosen]).contiguous()
            labels, rows = labels[chosen], np.arange(len(rows))
        loss = trainer.slope(inputs, labels, rows, runs, phase.sgd.clip, offset)
        corrected = phase.correct(trainer.gradient, trainer.flat, context)
        way = trainer.gradient if corrected is None else corrected.to(trainer.dtype).contiguous()
        trainer.step(way, runs, phase.sgd)
        return loss
