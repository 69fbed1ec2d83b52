"""Local training that is regularised by features which a generator from the server makes (FedGen)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from disue.core.clients import Batch, Context, Forward, Memory, Order, Phase
from disue.parts.local.erm import MODEL, Erm, Fit, mean_loss, require
from disue.parts.local.latents import Latents

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

# What comes down: the generator's weights (p,), its widths (2,), label shares (C,).
GENERATOR, SHAPE, ASKED = "generator", "generator_shape", "generator_labels"
LATENTS, SHARES = "latents", "latent_shares"
FLOOR = 1e-4  # of both weights, as they fall from round to round


@dataclass(frozen=True)
class GenerativeFit(Fit):
    """`Fit` plus a · Σ_c p(c) mean_m CE(head(z_cm), c) plus b · mean KL(t_y ‖ model(x)), t_c = mean_m σ(head(z_cm)).

    z_cm are features that the generator makes of label c; the head is the one in training, in t_c without a gradient.
    """

    a: float = 10.0
    b: float = 10.0

    @property
    def separable(self) -> bool:
        return True

    def loss(self, forward: Forward, batch: Batch, context: Mapping[str, Tensor]) -> Tensor:
        import torch

        logits, _ = forward(batch.inputs)
        said = forward.head(context[LATENTS]).log_softmax(-1)  # (C, M, C)
        shares, classes = context[SHARES], torch.arange(said.shape[0], device=said.device)
        asked = -(shares[:, None] * said[classes, :, classes]).mean(1).sum()
        told = said.detach().exp().mean(1)[batch.labels]
        near = (told * (told.clamp_min(1e-30).log() - logits.log_softmax(1))).sum(1).mean()
        here = shares.sum()  # 0 as long as no generator has come
        return mean_loss(self.criterion)(logits, batch.labels) + self.a * asked + self.b * here * near


@dataclass(frozen=True)
class Generative(Erm):
    """`Erm` with two regularisers on features that the server's generator makes: the head should know their label, and
    the model should say of an input what the head says of features of its label.

    Both begin with the second round, when there is a generator that has seen clients.

    a     weight of the head's cross-entropy on generated features; with `b` = 0 and `a` = 0 it is `Erm`, bit for bit
    b     weight of the divergence between generated features and inputs of a label
    fade  both weights times fade^round, and 1e-4 at least
    draws  generated features of each class in a round, by which every step goes
    """

    a: float = 10.0
    b: float = 10.0
    fade: float = 0.98
    draws: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require("a", self.a, 0 <= self.a < float("inf"), "≥ 0")
        require("b", self.b, 0 <= self.b < float("inf"), "≥ 0")
        require("fade", self.fade, 0 < self.fade <= 1, "in (0, 1]")
        require("draws", self.draws, self.draws >= 1, "≥ 1")

    @property
    def phases(self) -> tuple[Phase, ...]:
        if not self.a and not self.b:
            return super().phases
        return (GenerativeFit(self.sgd, self.loss, a=self.a, b=self.b),)

    def at(self, round: int) -> Self:
        a, b = (max(FLOOR, w * self.fade**round) if w and round else 0.0 for w in (self.a, self.b))
        return replace(super().at(round), a=a, b=b, fade=1.0)

    def context(self, order: Order, memory: Memory) -> Context:
        if not self.a and not self.b:
            return super().context(order, memory)
        classes, features = order.layout.classes, order.layout.features
        if GENERATOR not in order.extras:
            made = np.zeros((classes, self.draws, features), np.float32)
            return Context({MODEL: order.start}, {LATENTS: made, SHARES: np.zeros(classes, np.float32)})
        return Context({MODEL: order.start}, {LATENTS: self._made(order), SHARES: order.extras[ASKED]})

    def _made(self, order: Order) -> np.ndarray:
        """(C, draws, F) features of every class, from noise that is the client's own."""
        import torch

        assert order.streams is not None
        noise, hidden = order.extras[SHAPE].tolist()
        classes, features = order.layout.classes, order.layout.features
        rng = order.streams("generated", order.round, order.id)
        z = torch.from_numpy(rng.standard_normal((classes * self.draws, noise), np.float32))
        labels = torch.arange(classes).repeat_interleave(self.draws)
        weights = torch.from_numpy(np.array(order.extras[GENERATOR]))
        made = Latents(noise, hidden, classes, features)(weights, z, labels)
        return np.asarray(made.reshape(classes, self.draws, features).numpy(), np.float32)
