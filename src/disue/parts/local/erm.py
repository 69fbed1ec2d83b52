"""Plain local training: some passes of SGD over the client's own data."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from disue.core.checks import Vector
from disue.core.clients import Batch, Context, Finished, Forward, Memory, Order, Phase, Sgd
from disue.core.errors import UserError, unknown
from disue.core.layout import WHOLE, Part

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

MODEL = "model"  # the trained vector that goes up
CROSS_ENTROPY = "cross-entropy"


@dataclass(frozen=True)
class Fit:
    """A stretch of SGD on the loss of the logits: the phase of most local parts.

    criterion  "cross-entropy", or the import path "package.module:function" of (logits, labels) → mean loss
    offset     name of the context's array (classes,) that is added to the logits; "" for none
    separable  the loss of a batch is the mean of its samples' losses, so clients can be trained together
               although their last batches differ in length; a phase with a loss of its own says so itself
    """

    sgd: Sgd
    criterion: str = CROSS_ENTROPY
    vector: str = MODEL
    trains: Part = WHOLE
    offset: str = ""

    @property
    def separable(self) -> bool:
        return type(self).loss is Fit.loss and self.criterion == CROSS_ENTROPY

    def loss(self, forward: Forward, batch: Batch, context: Mapping[str, Tensor]) -> Tensor:
        logits, _ = forward(batch.inputs)
        if self.offset:
            logits = logits + context[self.offset]
        return mean_loss(self.criterion)(logits, batch.labels)

    def correct(self, gradient: Tensor, weights: Tensor, context: Mapping[str, Tensor]) -> Tensor | None:
        return None

    def pull(self, context: Mapping[str, Tensor]) -> tuple[float, Tensor] | None:
        """(a, b) where `correct` of the same class is gradient + a · weights + b, so that it can be compiled.

        None: `correct` is called at every step. A declaration counts for the class that makes it alone.
        """
        return None


@dataclass(frozen=True)
class Erm:
    """Empirical risk minimisation on the client's own data.

    epochs        passes over the data; where `steps` > 0 exactly that many steps instead
    batch         samples a step; the last batch of a pass may be short
    clip          largest norm of the whole gradient, 0 for none
    lr_decay      factor of the learning rate per round
    loss          "cross-entropy", or "package.module:function" of (logits, labels) → mean loss

    `keeps` says how many vectors (d,) of float32 a client keeps to itself from round to round: none here.

    >>> Erm(lr=0.1, lr_decay=0.5).at(2).lr
    0.025
    """

    epochs: int = 5
    steps: int = 0
    batch: int = 50
    lr: float = 0.05
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip: float = 0.0
    lr_decay: float = 1.0
    loss: str = CROSS_ENTROPY
    keeps: ClassVar[int] = 0

    def __post_init__(self) -> None:
        require("epochs", self.epochs, self.epochs >= 0, "≥ 0")
        require("steps", self.steps, self.steps >= 0, "≥ 0")
        require("batch", self.batch, self.batch >= 1, "≥ 1")
        require("lr", self.lr, 0 < self.lr < float("inf"), "> 0")
        require("momentum", self.momentum, 0 <= self.momentum < 1, "in [0, 1)")
        require("weight_decay", self.weight_decay, 0 <= self.weight_decay < float("inf"), "≥ 0")
        require("clip", self.clip, 0 <= self.clip < float("inf"), "≥ 0 (0: no clipping)")
        require("lr_decay", self.lr_decay, 0 < self.lr_decay <= 1, "in (0, 1]")
        if self.loss != CROSS_ENTROPY and not all(self.loss.partition(":")):
            raise unknown("local.loss", self.loss, [CROSS_ENTROPY, "package.module:function"])

    @property
    def sgd(self) -> Sgd:
        """How a phase of this part steps."""
        return Sgd(
            lr=self.lr,
            epochs=self.epochs,
            steps=self.steps,
            batch=self.batch,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            clip=self.clip,
        )

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Fit(self.sgd, self.loss),)

    def at(self, round: int) -> Self:
        if self.lr_decay == 1.0:
            return self
        return replace(self, lr=self.lr * self.lr_decay**round, lr_decay=1.0)

    def brief(self, epochs: int) -> Self:
        return replace(self, epochs=epochs, steps=0)

    def context(self, order: Order, memory: Memory) -> Context:
        return Context({MODEL: order.start})

    def finish(self, ends: Mapping[str, Vector], steps: int, context: Context, order: Order) -> Finished:
        return Finished(ends[MODEL])


def require(key: str, value: float, holds: bool, allowed: str) -> None:
    """Raises unless `holds`: an argument of a local part is out of its range."""
    if not holds:
        raise UserError(f"local.{key} must be {allowed}, got {value}", key=f"local.{key}", found=value)


@lru_cache
def mean_loss(criterion: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The function (logits, labels) → mean loss behind a name or an import path."""
    if criterion == CROSS_ENTROPY:
        from torch.nn.functional import cross_entropy

        return cross_entropy
    where, _, what = criterion.partition(":")
    try:
        module = importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is None or not (where == error.name or where.startswith(f"{error.name}.")):
            raise  # the user's module is there, and misses something of its own
        raise UserError(
            f'local.loss: no module "{error.name}" to import "{criterion}" from', key="local.loss", found=criterion
        ) from None
    found = getattr(module, what, None)
    if not callable(found):
        raise UserError(f'local.loss: "{where}" has no function "{what}"', key="local.loss", found=criterion)
    loss: Callable[[Tensor, Tensor], Tensor] = found
    return loss
