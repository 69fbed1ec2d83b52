"""What a client does: the local part, its phases, and the client's private memory.

A local part says what *one* client does, in flat vectors; it contains no training loop. The engine maps
it over clients, one by one or stacked. Tensors appear here as types only: this room is numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from disue.core.checks import Array, IntVector, Mask, Matrix, Vector
from disue.core.layout import WHOLE, Layout, Part

if TYPE_CHECKING:
    from torch import Tensor

    from disue.core.streams import Streams
    from disue.core.world import Network

Memory = Mapping[str, Array]  # a client's private store by name; the server never reads it


class Clients(Protocol):
    """The clients' own data, by id: what the engine may touch and the server may not."""

    @property
    def ids(self) -> IntVector: ...
    def size(self, client: int) -> int: ...
    def train(self, client: int) -> tuple[Array, IntVector]:
        """Inputs (n, *shape), ready for the network, and labels (n,)."""
        ...

    def label_counts(self, client: int) -> IntVector:
        """(classes,) of the samples really trained on."""
        ...


@dataclass(frozen=True)
class Order:
    """One client's share of the `Orders`."""

    id: int
    round: int
    start: Vector  # what it trains from, after its choice where it had one
    candidates: Matrix  # (c, d) all the vectors it was sent to choose from or to use
    chosen: int  # row of `candidates` that it preferred (0 where there is one)
    shares: Array  # (c,) its shares over the candidates (one-hot of `chosen` unless shares were asked for)
    extras: Mapping[str, Array]
    size: int
    labels: IntVector  # (classes,) its label counts
    layout: Layout  # what the entries of its vectors are: a private part is found by name or type
    network: Network | None = None  # the client's own: what a probe looks at its data with
    streams: Streams | None = None  # its own randomness; a draw is keyed by name, round and id


@dataclass(frozen=True)
class Context:
    """What one client's training needs, besides its data.

    trained   vectors that phases train, by name; "model" is the one that goes up
    fixed     constants by name: vectors (d,), or small arrays such as log label shares (classes,)
    """

    trained: Mapping[str, Vector]
    fixed: Mapping[str, Array] = field(default_factory=dict)


class Forward(Protocol):
    """Runs the network on a batch: (logits, features) under the weights in training, or under `name`."""

    def __call__(self, inputs: Tensor, name: str | None = None) -> tuple[Tensor, Tensor]: ...
    def head(self, features: Tensor) -> Tensor:
        """(…, classes) what the head in training makes of features (…, F) that need not come from inputs."""
        ...


@dataclass(frozen=True)
class Batch:
    inputs: Tensor  # (b, *shape)
    labels: Tensor  # (b,)


@dataclass(frozen=True)
class Sgd:
    """How a phase steps. Gradient clipping is by the norm of the whole gradient; 0 is off.

    Either `epochs` passes over the data or exactly `steps` steps (where > 0); the last batch may be short.
    """

    lr: float = 0.05
    epochs: int = 5
    steps: int = 0
    batch: int = 50
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip: float = 0.0


class Phase(Protocol):
    """A stretch of training of one vector: which entries of it move, how, and under which loss."""

    @property
    def vector(self) -> str: ...  # name in Context.trained
    @property
    def trains(self) -> Part: ...  # entries that move; the rest is frozen, statistics included
    @property
    def sgd(self) -> Sgd: ...
    def loss(self, forward: Forward, batch: Batch, context: Mapping[str, Tensor]) -> Tensor:
        """The mean loss of a batch. `context` holds every vector of the Context as tensors."""
        ...

    def correct(self, gradient: Tensor, weights: Tensor, context: Mapping[str, Tensor]) -> Tensor | None:
        """A changed gradient (d,), or None to leave it as it is (no arithmetic is done then)."""
        ...


class Step(Protocol):
    """One step of a phase that walks, as its backend offers it."""

    @property
    def moves(self) -> Tensor:
        """(d,) of bool: the entries that the phase trains."""
        ...

    def slope(self, at: Tensor, batch: int = 0) -> Tensor:
        """The gradient (d,) of the phase's loss at any vector, on one of the step's batches: clipped, then with weight
        decay; 0 where nothing moves. Tracked statistics inside `at` follow the batch, in place."""
        ...

    def along(self, vector: str, way: Tensor) -> Tensor:
        """The trained vector of that name after a step of SGD along `way` (d,): momentum, rate, entries that move."""
        ...


@runtime_checkable
class Walking(Protocol):
    """A phase that says its step itself, as one gradient is not enough: an inner loop, second order, a mixture.

    Its `correct` is not asked. `loop` and `lean` train it.
    """

    @property
    def batches(self) -> int:
        """Batches that one step takes; the batches of a pass that make no whole step are left out."""
        ...

    @property
    def gradients(self) -> int:
        """Gradients that one step takes: what it costs."""
        ...

    def walk(self, step: Step, context: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The vectors that the step has moved, by name; `context` holds every vector as it stands."""
        ...


@dataclass(frozen=True)
class Finished:
    """What a client hands over at the end of its round."""

    end: Vector
    extras: Mapping[str, Array] = field(default_factory=dict)  # up, by name; asked for in Report.extras
    memory: Memory = field(default_factory=dict)  # replaces its private memory


@runtime_checkable
class Local(Protocol):
    """A local part: what one client does with its start."""

    @property
    def phases(self) -> tuple[Phase, ...]: ...
    def at(self, round: int) -> Local:
        """The part as it is in this round (learning-rate decay)."""
        ...

    def brief(self, epochs: int) -> Local:
        """The part with that many passes over the data (a survey needs one)."""
        ...

    def context(self, order: Order, memory: Memory) -> Context: ...
    def finish(self, ends: Mapping[str, Vector], steps: int, context: Context, order: Order) -> Finished: ...


class Personal(Protocol):
    """What a local part may offer besides, where its clients use a model of their own."""

    @property
    def personal(self) -> Local | None:
        """The part whose context and phases make that model, from what a client receives and its memory.

        Without phases it is a rule, with phases it is fine-tuning; None: the client uses what it received. A client
        without memory is none that has to be told apart: the rule then takes what it received. Evaluation runs it and
        keeps nothing of it.
        """
        ...

    def private(self, layout: Layout) -> Mask:
        """(d,) the entries that never leave the client: what it receives is then no model by itself."""
        ...

    def check(self, layout: Layout) -> None:
        """Raises a UserError where the part has no meaning for this model; asked once, when a run is built."""
        ...


def personal_of(local: object) -> Local | None:
    """The part that makes the client's own model; None where it uses what it received."""
    found: Local | None = getattr(local, "personal", None)
    return found


def private_of(local: object, layout: Layout) -> Mask:
    """(d,) the entries that a local part keeps at the client; none for most."""
    say = getattr(local, "private", None)
    return np.zeros(layout.d, bool) if say is None else np.asarray(say(layout), bool)


class Probe(Protocol):
    """Something a client computes from its data without training: named arrays that go up.

    With an attribute `model` that is False it looks at the data alone, and where nothing is trained no model is sent.
    """

    def __call__(self, inputs: Array, labels: IntVector, order: Order) -> Mapping[str, Array]: ...


__all__ = [
    "WHOLE",
    "Batch",
    "Clients",
    "Context",
    "Finished",
    "Forward",
    "Local",
    "Memory",
    "Order",
    "Personal",
    "Phase",
    "Probe",
    "Sgd",
    "Step",
    "Walking",
    "personal_of",
    "private_of",
]
