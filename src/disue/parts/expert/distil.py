"""Those who take part in a D-phase: generator, student, teachers; and what is done when a step goes wrong.

These objects live for one round and change in place; what outlasts it leaves as plain arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from disue.core.checks import Mask, Vector
from disue.core.world import Network
from disue.parts.expert.steppers import Adam, Sgd, Stepper
from disue.parts.expert.teachers import Teachers, masked, mixed

if TYPE_CHECKING:
    from torch import Tensor, nn

PATIENCE = 10  # discarded steps in a row that end the phase


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums are taken by one thread, so that the bits do not depend on how many cores a machine has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class Tally:
    """Counts discarded steps, and keeps what the applied ones said.

    fidelity, transfer, diversity   the generator's three terms, step by step
    kl                              the student's T² KL(t ‖ q), step by step
    """

    discarded: int = 0
    row: int = 0
    said: dict[str, list[float]] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.row >= PATIENCE

    def accept(self, *values: Tensor) -> bool:
        """Whether a step with this loss, gradient and result may be applied: all must be finite."""
        fine = all(bool(value.isfinite().all()) for value in values)
        self.row = 0 if fine else self.row + 1
        self.discarded += not fine
        return fine

    def say(self, **terms: Tensor) -> None:
        for name, value in terms.items():
            self.said.setdefault(name, []).append(float(value.detach()))

    def values(self) -> dict[str, float]:
        """For the round's record: means of the generator's terms over the phase, the student's last KL."""
        out = {f"dphase.{name}": float(np.mean(said)) for name, said in self.said.items() if name != "kl"}
        if "kl" in self.said:
            out["dphase.kl"] = self.said["kl"][-1]
        return {"dphase.discarded": float(self.discarded), **out}

    def note(self) -> str:
        """For the run's log; empty where nothing went wrong."""
        end = "; ten in a row, so it ended with the last finite state" if self.over else ""
        found = f"{self.discarded} steps of the D-phase were not finite and were discarded{end}"
        return found if self.discarded else ""


def clipped(gradient: Tensor, norm: float) -> Tensor:
    """`gradient`, shortened to `norm` where it is longer."""
    length = float(gradient.norm())
    return gradient * (norm / length) if length > norm else gradient


class Maker:
    """A conditional generator G(z, y) and its Adam, whose state starts afresh.

    weights  (p,) that it begins with, None: as the module is      beside  further tensors that are trained with it
    """

    def __init__(
        self,
        module: nn.Module,
        weights: Vector | None,
        *,
        rate: float = 0.0,
        clip: float = 1.0,
        stepper: Stepper | None = None,
        beside: Sequence[Tensor] = (),
    ) -> None:
        import torch

        self.module = module.train()
        self.weights: list[Tensor] = [*module.parameters(), *beside]
        self.sizes = [tensor.numel() for tensor in self.weights]
        self.rate, self.clip, self.stepper = rate, clip, Adam() if stepper is None else stepper
        with torch.no_grad():
            given = self.pieces(torch.from_numpy(np.array(weights))) if weights is not None else self.weights
            for tensor, piece in zip(self.weights, given, strict=True):
                tensor.copy_(piece)

    def __call__(self, z: Tensor, labels: Tensor) -> Tensor:
        made: Tensor = self.module(z, labels)
        return made

    def pieces(self, flat: Tensor) -> list[Tensor]:
        """A flat vector in the shapes of the generator's tensors."""
        ends = np.cumsum(self.sizes).tolist()
        return [
            flat[end - size : end].view_as(tensor)
            for end, size, tensor in zip(ends, self.sizes, self.weights, strict=True)
        ]

    def step(self, loss: Callable[[], Tensor], tally: Tally) -> bool:
        """One step of Adam on `loss`; False, and nothing moved, where anything is not finite."""
        import torch

        value = loss()
        parts = torch.autograd.grad(value, self.weights)
        gradient = clipped(torch.cat([part.reshape(-1) for part in parts]), self.clip)
        change = self.stepper.propose(gradient)
        fine = tally.accept(value, gradient, change)
        if fine:
            self.stepper.keep()
            with torch.no_grad():
                for tensor, piece in zip(self.weights, self.pieces(change), strict=True):
                    tensor.sub_(self.rate * piece)
        return fine


def flattened(module: nn.Module) -> Vector:
    """The module's weights one after the other, float32 (p,), a copy."""
    import torch

    out: Vector = torch.cat([w.detach().reshape(-1) for w in module.parameters()]).numpy()
    return out


class Student:
    """A flat vector that learns, by SGD unless said otherwise; only its weights move, statistics stay as they are.

    rate  may be changed from step to step      clip  largest norm of the gradient, ∞ for none
    decay of the weights, added to the clipped gradient
    """

    def __init__(
        self,
        network: Network,
        start: Vector,
        moves: Mask,
        *,
        rate: float,
        clip: float = math.inf,
        decay: float = 0.0,
        stepper: Stepper | None = None,
    ) -> None:
        import torch

        self.network, self.rate, self.clip, self.decay = network, rate, clip, decay
        self.stepper = Sgd() if stepper is None else stepper
        self.weights = torch.from_numpy(np.array(start))
        self.moves = torch.from_numpy(np.array(moves))

    def vector(self) -> Vector:
        """The weights as they are now, a copy."""
        out: Vector = np.array(self.weights.numpy(), np.float32)
        return out

    def logits(self, x: Tensor) -> Tensor:
        """(B, C), differentiable in `x` only."""
        return self.network.forward(self.weights, x)[0]

    def gradient(self, loss: Callable[[Callable[[Tensor], Tensor]], Tensor]) -> tuple[Tensor, Tensor]:
        """(loss, gradient (d,)) of a function of the student's logits; zero on what does not move."""
        import torch

        theta = self.weights.detach().requires_grad_()
        value = loss(lambda x: self.network.forward(theta, x)[0])
        (gradient,) = torch.autograd.grad(value, theta)
        return value.detach(), torch.where(self.moves, gradient, torch.zeros_like(gradient))

    def step(self, loss: Callable[[Callable[[Tensor], Tensor]], Tensor], tally: Tally) -> bool:
        """One step; False where it was discarded."""
        value, gradient = self.gradient(loss)
        way = clipped(gradient, self.clip)
        if self.decay:
            way = way + self.decay * self.weights * self.moves
        change = self.stepper.propose(way)
        after = self.weights - self.rate * change if self.rate else self.weights
        fine = tally.accept(value, gradient, after)
        if fine:
            self.stepper.keep()
            self.weights = after
        return fine


class Ensemble:
    """Teachers, and the averaged model that fills in for what they never saw, as one voice."""

    def __init__(
        self,
        network: Network,
        teachers: Teachers,
        average: Vector,
        *,
        mask: str,
        mixture: str,
        temperature: float,
    ) -> None:
        import torch

        self.network, self.teachers = network, teachers
        self.mask, self.mixture, self.temperature = mask, mixture, temperature
        self.models = torch.from_numpy(np.array(teachers.models))
        self.base = torch.from_numpy(np.array(average))
        self.alpha = torch.from_numpy(teachers.alpha.astype(np.float32))
        self.together = _together(network, len(self.models))

    def weights(self, labels: Tensor) -> Tensor:
        """(k, B) α_{g, y_b}."""
        return self.alpha[:, labels]

    def logits(self, x: Tensor) -> Tensor:
        """(k, B, C), of all models at once where they are so small that calls cost more than arithmetic."""
        import torch

        if self.together:
            try:
                stacked: Tensor = torch.func.vmap(lambda model: self.network.forward(model, x)[0])(self.models)
                return stacked
            except RuntimeError:  # an operator without a batched form: the same model fails the same way every time
                self.together = False
        return torch.stack([self.network.forward(model, x)[0] for model in self.models])

    def average(self, x: Tensor) -> Tensor:
        """(B, C) logits of the averaged model."""
        return self.network.forward(self.base, x)[0]

    def voice(self, logits: Tensor, average: Tensor | None, labels: Tensor) -> Tensor:
        """(B, C) log t of the masked mixture."""
        said = masked(logits, average, self.teachers.seen, self.mask, self.temperature)
        return mixed(said, self.weights(labels), self.mixture)

    def teach(self, x: Tensor, labels: Tensor) -> Tensor:
        """(B, C) log t without a gradient."""
        import torch

        with torch.no_grad():
            average = None if self.mask == "none" else self.average(x)
            return self.voice(self.logits(x), average, labels)

    def obvious(self, noise: Tensor, labels: Tensor) -> float:
        """The share of noise inputs on which the unmasked teachers name the class that is asked for."""
        import torch

        with torch.no_grad():
            said = masked(self.logits(noise), None, self.teachers.seen, "none", self.temperature)
            named = mixed(said, self.weights(labels), self.mixture).argmax(-1)
        return float((named == labels).float().mean())


def _together(network: Network, k: int) -> bool:
    """Whether k models pay off stacked: measured by `benchmarks/dphase.py`.

    At four models and more, multilayer perceptrons and convolutions of 8×8 inputs gain half and more;
    convolutions of larger inputs lose, as stacked they are grouped ones with few channels.
    """
    convolves = any(len(entry.shape) > 2 for entry in network.layout.entries)
    small = math.prod(network.input_shape) <= 64 if convolves else network.input_kind == "vector"
    return k >= 3 and small
