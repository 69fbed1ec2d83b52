"""Paired timing: all variants in one process, in turn, the order turned round every second time.

A ratio of two variants is taken within a turn, so that what the machine does besides touches both alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles

Times = dict[str, list[float]]


def one_thread() -> None:
    """Torch with one thread, and denormal numbers flushed to zero, as in a run."""
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def interleaved(
    variants: Mapping[str, Callable[[], object]],
    repeats: int,
    clock: Callable[[], float] = time.process_time,
) -> Times:
    """Seconds of each variant and turn, after one call each that is not counted."""
    for call in variants.values():
        call()
    out: Times = {name: [] for name in variants}
    for turn in range(repeats):
        for name in list(variants)[:: -1 if turn % 2 else 1]:
            began = clock()
            variants[name]()
            out[name].append(clock() - began)
    return out


def ratio(base: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """How many times faster `other` is than `base`: median and quartiles of the turns, and of the two minima.

    >>> ratio([2.0, 4.0, 6.0], [1.0, 1.0, 2.0])
    {'median': 3.0, 'q25': 2.5, 'q75': 3.5, 'minima': 2.0}
    """
    turns = [a / b for a, b in zip(base, other, strict=True)]
    low, middle, high = quantiles(turns, n=4, method="inclusive") if len(turns) > 1 else turns * 3
    return {"median": middle, "q25": low, "q75": high, "minima": min(base) / min(other)}


def shown(found: Mapping[str, float]) -> str:
    """A ratio in a table.

    >>> shown({"median": 3.0, "q25": 2.5, "q75": 3.5, "minima": 2.0})
    '3.00 [2.50, 3.50]'
    """
    return f"{found['median']:.2f} [{found['q25']:.2f}, {found['q75']:.2f}]"


def quiet(work: Callable[[], object], times: int, clock: Callable[[], float] = time.process_time) -> float:
    """The median seconds of a call, after one that is not counted."""
    return median(interleaved({"it": work}, times, clock)["it"])
