"""What a backend is: it trains clients one by one or together, and says how each ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
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
    precision "float32", or "bf16" for passes in bfloat16 (weights, gradients and steps stay float32)
    augment  kinds of augmentation, in order; () for none
    """

    network: Network
    streams: Streams
    stream: str
    round: int
    dtype: torch.dtype = torch.float32
    device: str = "cpu"
    augment: tuple[str, ...] = ()
    precision: str = "float32"

    def cast(self) -> AbstractContextManager[object]:
        """What a forward pass of training runs in."""
        if self.precision == "bf16":
            return torch.autocast(self.device.partition(":")[0], torch.bfloat16)
        return nullcontext()


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
    """Trains jobs; an answer depends on the other jobs of its block by rounding at most, never on their order.

    One step: gradient of the loss → clip → `correct` → + weight decay → momentum (from zero in each phase)
    → step; only weights that the phase trains move. A phase's `context` holds the vectors as they stood
    when the phase began: a vector that an earlier phase has trained stands at its end. `forward` under a
    name runs that vector in evaluation mode and gives constants.
    """

    def train(self, work: Work, jobs: Iterable[Job]) -> Iterator[Trained]: ...
    def refuses(self, work: Work, local: Local) -> str:
        """Why this backend cannot do this work, as the end of a sentence; "" where it can."""
        ...

    def cut(self, local: Local, sizes: Mapping[int, int]) -> list[list[int]]:
        """The clients (id → samples) in the blocks that are trained together, the longest first."""
        ...


def one_by_one(local: Local, sizes: Mapping[int, int]) -> list[list[int]]:
    """Every client by itself, the longest first."""
    from disue.engine.batches import longest_first

    return [[client] for client in longest_first(local, sizes)]
