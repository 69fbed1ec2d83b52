"""Which samples stand in which batch, and every other draw of local training: the same for all backends.

A trained vector has a generator of its own, made from (stream, round, client): a vector's phases go on
drawing from it, and a second vector sees the batches of the first. So the global branch of a method that
also trains a personal model is the plain method bit for bit, and the personal one is local training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor

from disue.core.checks import Array, IntVector
from disue.core.clients import Local, Sgd
from disue.core.errors import UserError
from disue.engine.interface import Work


class Draws:
    """The random numbers of one client's training in one exchange."""

    def __init__(self, work: Work, client: int) -> None:
        self.work, self.client = work, client
        self._batches: dict[str, np.random.Generator] = {}
        self._images: dict[str, np.random.Generator] = {}
        self._phases: dict[str, int] = {}

    def begin(self, vector: str) -> None:
        """Seeds torch for a phase (dropout in the model); call it inside `kept_generators`."""
        phase = self._phases[vector] = self._phases.get(vector, -1) + 1
        seed = self.work.streams.torch_seed("model", self.work.round, self.client, phase)
        torch.default_generator.manual_seed(seed)
        if self.work.device != "cpu":
            torch.cuda.manual_seed(seed)

    def passes(self, vector: str, size: int, sgd: Sgd, least: int) -> Iterator[tuple[IntVector, list[slice]]]:
        """Per pass: the samples in their order (n,), and the slices of it that are batches."""
        cuts = batches(size, sgd.batch, least)
        for order, left in self._orders(vector, size, sgd, len(cuts)):
            yield order, cuts[:left]

    def steps(self, vector: str, size: int, sgd: Sgd, least: int, count: int) -> Iterator[list[IntVector]]:
        """Per step the samples of its `count` batches, which are the next ones of the pass."""
        cuts = batches(size, sgd.batch, least)
        if len(cuts) < count:
            cuts = shared_out(size, least, count)
        for order, left in self._orders(vector, size, sgd, len(cuts) // count):
            for at in range(min(left, len(cuts) // count)):
                yield [order[cut] for cut in cuts[at * count : (at + 1) * count]]

    def _orders(self, vector: str, size: int, sgd: Sgd, steps: int) -> Iterator[tuple[IntVector, int]]:
        """Per pass of so many steps: the samples in their order, and how many steps are left."""
        key = (self.work.round, self.client)
        rng = self._batches.setdefault(vector, self.work.streams(self.work.stream, *key))
        passes = -(-sgd.steps // steps) if sgd.steps else sgd.epochs
        orders = np.argsort(rng.random((passes, size)), axis=1, kind="stable")
        left = sgd.steps or passes * steps
        for order in orders:
            yield order, left
            left -= steps

    def augment(self, vector: str, inputs: Tensor) -> Tensor:
        """A batch as it is trained on."""
        if not self.work.augment:
            return inputs
        from disue.data.augment import augment

        key = (self.work.round, self.client)
        rng = self._images.setdefault(vector, self.work.streams("augment", *key))
        changed: Array = augment(inputs.detach().cpu().numpy(), rng, self.work.augment)
        return torch.from_numpy(np.ascontiguousarray(changed)).to(inputs.device, inputs.dtype)


def batches(size: int, batch: int, least: int = 1) -> list[slice]:
    """The batches of one pass. A last batch of fewer than `least` samples joins the one before it.

    >>> [(b.start, b.stop) for b in batches(7, 3)], [(b.start, b.stop) for b in batches(7, 3, least=2)]
    ([(0, 3), (3, 6), (6, 7)], [(0, 3), (3, 7)])
    """
    if size < 1:
        raise UserError("local training: a client without samples cannot be trained", key="partition", found=size)
    if batch < least and size > batch:
        raise UserError(
            f"local.batch must be ≥ {least} for a model with BatchNorm, got {batch}", key="local.batch", found=batch
        )
    starts = list(range(0, size, batch))
    if len(starts) > 1 and size - starts[-1] < least:
        starts.pop()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], size], strict=True)]


def shared_out(size: int, least: int, count: int) -> list[slice]:
    """A pass that is too short for a step of `count` batches, as one all the same: in parts of equal size, or, where
    these were too small, as that many times the whole.

    >>> [(b.start, b.stop) for b in shared_out(5, 1, 2)], [(b.start, b.stop) for b in shared_out(3, 2, 2)]
    ([(0, 3), (3, 5)], [(0, 3), (0, 3)])
    """
    if size < count * least:
        return [slice(0, size)] * count
    ends = np.cumsum([len(part) for part in np.array_split(np.arange(size), count)]).tolist()
    return [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]


def steps_of(sgd: Sgd, size: int) -> int:
    """Steps that a client with so many samples takes in a phase.

    >>> steps_of(Sgd(epochs=2, batch=10), 25), steps_of(Sgd(steps=7), 25)
    (6, 7)
    """
    return sgd.steps or sgd.epochs * len(batches(size, sgd.batch))


def longest_first(local: Local, sizes: Mapping[int, int]) -> list[int]:
    """The clients (id → samples) by their steps, then samples, the most first; equal ones in the order of ids."""
    length = {i: sum(steps_of(phase.sgd, n) for phase in local.phases) for i, n in sizes.items()}
    return sorted(sizes, key=lambda i: (-length[i], -sizes[i], i))


def kept_generators(device: str) -> AbstractContextManager[None]:
    """Torch's own generators are as they were once this is left."""
    return torch.random.fork_rng(devices=[] if device == "cpu" else [torch.device(device)])
