"""The losses of a block's samples: cross-entropy at once, any other separable loss as the part wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from disue.core.clients import Batch, Phase
from disue.core.errors import UserError
from disue.engine.interface import Job, Work
from disue.engine.passes import Passes
from disue.engine.stacked.forms import Form
from disue.parts.local.erm import CROSS_ENTROPY, Fit


class Loss(Protocol):
    """The loss of a phase for the clients that are active."""

    def only(self, active: int) -> None: ...
    def each(self, leaves: Sequence[Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        """(clients, batch) the loss of every sample."""
        ...


def loss_of(work: Work, form: Form, phase: Phase, job: Job, context: Mapping[str, Tensor]) -> Loss:
    """The quickest form of a phase's loss."""
    if isinstance(phase, Fit) and type(phase).loss is Fit.loss and phase.criterion == CROSS_ENTROPY:
        return CrossEntropy(form, context[phase.offset] if phase.offset else None)
    return AsWritten(work, form, phase, job, context)


class CrossEntropy:
    """Cross-entropy of the logits, plus each client's own offset where it has one."""

    def __init__(self, form: Form, offset: Tensor | None) -> None:
        self.form, self.offset, self.active = form, offset, 0

    def only(self, active: int) -> None:
        self.active = active

    def each(self, leaves: Sequence[Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        logits, _ = self.form.both(leaves, inputs)
        if self.offset is not None:
            logits = logits + self.offset[: self.active, None, :]
        flat = F.cross_entropy(logits.reshape(-1, logits.shape[2]), labels.reshape(-1), reduction="none")
        return flat.view(labels.shape)


class AsWritten:
    """The part's `loss`, on one sample of one client at a time under vmap; passes are run stacked before.

    Which passes it needs is found out once, on the first sample: the vector in training, or named ones.
    """

    def __init__(self, work: Work, form: Form, phase: Phase, job: Job, context: Mapping[str, Tensor]) -> None:
        self.form, self.phase, self.context = form, phase, context
        self.others = {name: form.leaves(context[name]) for name in _named(work, phase, job, context)}
        self.active = 0

    def only(self, active: int) -> None:
        self.active = active

    def each(self, leaves: Sequence[Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        passes: dict[str, tuple[Tensor, Tensor]] = {"": self.form.both(leaves, inputs)}
        with torch.no_grad():
            for name, other in self.others.items():
                passes[name] = self.form.both([leaf[: self.active] for leaf in other], inputs)
        names = list(passes)
        flat = [value for name in names for value in passes[name]]
        phase = self.phase

        def one(context: Mapping[str, Tensor], weight: Tensor, bias: Tensor, label: Tensor, *seen: Tensor) -> Tensor:
            at = {name: (seen[2 * i][None], seen[2 * i + 1][None]) for i, name in enumerate(names)}
            forward = Passes(lambda inputs, name=None: at[name or ""], weight, bias)
            return phase.loss(forward, Batch(label[None], label[None]), context)

        of_client = torch.func.vmap(one, in_dims=(None, None, None, *[0] * (1 + len(flat))))
        of_block = torch.func.vmap(of_client)
        context = {name: value[: self.active] for name, value in self.context.items()}
        out: Tensor = of_block(context, *self.form.head(leaves), labels, *flat)
        return out


def _named(work: Work, phase: Phase, job: Job, context: Mapping[str, Tensor]) -> list[str]:
    """The named vectors that a loss runs, found by running it on two samples of one client."""
    one = {name: value[0] for name, value in context.items()}
    first, labels = job.inputs[:2], job.labels[:2]
    asked: list[str] = []

    def run(inputs: Tensor, name: str | None = None) -> tuple[Tensor, Tensor]:
        if inputs is not first:
            raise UserError(
                f"engine.backend: the loss of {type(phase).__name__} changes its inputs before the pass, which "
                'cannot be stacked; use "lean"',
                key="engine.backend",
            )
        if name is not None and name not in asked:
            asked.append(name)
        return work.network.forward(one[name or phase.vector], inputs, train=name is None)

    at = work.network.layout
    weight, bias = (one[phase.vector][at.slices[name]].view(at.shapes[name]) for name in (at.head_weight, at.head_bias))
    with torch.no_grad():
        phase.loss(Passes(run, weight, bias), Batch(first, labels), one)
    return asked
