"""What a backend is: it trains clients one by one or together, and says how each ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from disue.core.checks import Array
from disue.core.clients import Context, Local
from disue.core.streams import Streams
from disue.core.world import Network


@dataclass(frozen=True, eq=False)
class Work:
    """What all clients of an exchange have in common.

    stream   the name of the stream of their batches
    dtype    float32; float64 to compare backends
    augment  kinds of augmentation, in order; () for none
    """

    network: Network
    streams: Streams
    stream: str
    round: int
    dtype: torch.dtype = torch.float32
    device: str = "cpu"
    augment: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Job:
    """One client's training: its part and context, and its data (n, *shape), (n,) as tensors on the device."""

    id: int
    local: Local
    context: Context
    inputs: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class Trained:
    """How a client ended. `steps` are those of the vector "model"; `loss` is the mean over its samples seen."""

    id: int
    ends: Mapping[str, Array]  # by name of the trained vector, (d,) of the work's dtype
    steps: int
    loss: float
    seconds: float


class Backend(Protocol):
    """Trains the jobs in the order given; an answer never depends on the other jobs, or on their order.

    One step: gradient of the loss → clip → `correct` → + weight decay → momentum (from zero in each phase)
    → step; only weights that the phase trains move. A phase's `context` holds the vectors as they stood
    when the phase began: a vector that an earlier phase has trained stands at its end. `forward` under a
    name runs that vector in evaluation mode and gives constants.
    """

    def train(self, work: Work, jobs: Iterable[Job]) -> Iterator[Trained]: ...
