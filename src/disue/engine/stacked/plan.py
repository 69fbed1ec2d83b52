"""Who trains together, and which samples of whom stand in which step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from disue.core.checks import Array, IntVector
from disue.core.clients import Local, Sgd
from disue.engine.batches import Draws, longest_first


def cut(local: Local, sizes: Mapping[int, int], block: int) -> list[list[int]]:
    """The clients in blocks, the longest first; equally long ones in the order of ids.

    Blocks follow from the cohort and `block` alone: neither the number of workers nor a task that is run
    again changes who trains with whom, on which the last bits depend.
    """
    order = longest_first(local, sizes)
    return [order[at : at + block] for at in range(0, len(order), block)]


@dataclass(frozen=True, eq=False)
class Schedule:
    """A phase of a block. Clients are ordered by their steps, so those still training are the first ones.

    rows    (steps, clients, batch) which of the block's samples, 0 where a batch is short
    sizes   (steps, clients) samples of each batch, 0 behind a client's last step
    active  (steps,) clients still training; width (steps,) the longest batch among them
    """

    rows: Array
    sizes: IntVector
    active: IntVector
    width: IntVector


def schedule(draws: Sequence[Draws], vector: str, sgd: Sgd, sizes: Sequence[int], firsts: Sequence[int]) -> Schedule:
    """firsts: where each client's samples begin among the block's."""
    taken: list[list[IntVector]] = []
    for draw, size, first in zip(draws, sizes, firsts, strict=True):
        own: list[IntVector] = []
        for order, cuts in draw.passes(vector, size, sgd, 1):
            own += [order[piece] + first for piece in cuts]
        taken.append(own)
    steps = max((len(own) for own in taken), default=0)
    width = max((len(batch) for own in taken for batch in own), default=0)
    rows, counts = np.zeros((steps, len(taken), width), np.int64), np.zeros((steps, len(taken)), np.int64)
    for client, own in enumerate(taken):
        for step, batch in enumerate(own):
            rows[step, client, : len(batch)] = batch
            counts[step, client] = len(batch)
    return Schedule(rows, counts, (counts > 0).sum(axis=1), counts.max(axis=1) if steps else counts.sum(axis=1))
