"""One shot: the clients' ensemble distilled into a model of its own, on a growing pool of synthetic inputs.

After the one round in which clients train, `epochs` times:

    a fresh generator G and fresh noise z, both trained for `generator_steps` of Adam (0.5, 0.999) on
        asked · CE(t(x), y) + normal · BN(x) − apart · mean ε KL(t(x) ‖ s(x))       x = G(z), ε = 1[they name others]
    the inputs x of least loss join the pool
    one pass of SGD over the pool on T² KL(softmax(t / T) ‖ softmax(s / T))

t is the mean of the clients' logits, s the student; y are uniform labels; BN(x) is how far x is from what the clients'
batch normalisation has seen, 0 where they have none. The student begins as a new draw of the initialiser, which never
met the clients' average.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from disue.core.checks import Array, Matrix, Vector
from disue.core.errors import UserError
from disue.core.layout import WHOLE
from disue.core.method import Info, Made, Making
from disue.core.orders import Sight
from disue.core.world import Network, World
from disue.parts.expert import losses, ranges
from disue.parts.expert.batch_norm import Witnesses, normalises
from disue.parts.expert.distil import Ensemble, Maker, Student, Tally, one_thread
from disue.parts.expert.generator import SHOWN, conditional
from disue.parts.expert.singles import ends
from disue.parts.expert.steppers import Adam, Sgd
from disue.parts.expert.teachers import Teachers

if TYPE_CHECKING:
    from torch import Tensor

STUDENTS = ("random", "average")


@dataclass(frozen=True)
class Shot:
    """Whether it was fired: the clients have answered, and nobody trains any more."""

    fired: bool = False


@dataclass(frozen=True)
class Synthesis:
    """A model distilled from the clients' ensemble on synthetic inputs, after one round of training.

    epochs           batches that are made, each with a generator of its own; 0: the average of that round
    generator_steps  steps for each of them
    batch            inputs of a batch, and of a step of the student
    nz, width        the generator: noise, width
    generator_lr     learning rate of the generator and of its noise
    student_lr       learning rate of the student's SGD
    student_momentum  its momentum
    temperature      T of the student's loss
    asked, normal, apart  weights of the asked label, of batch normalisation's statistics (where clients have some), and
                     of the disagreement with the student
    student          what it begins as: "random", a new draw of the initialiser, or "average", the clients' average
    """

    epochs: int = 20
    generator_steps: int = 10
    batch: int = 64
    nz: int = 100
    width: int = 16
    generator_lr: float = 1e-3
    student_lr: float = 0.01
    student_momentum: float = 0.9
    temperature: float = 20.0
    asked: float = 1.0
    normal: float = 1.0
    apart: float = 1.0
    student: str = "random"
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.VECTORS})
    serves: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for key, low in {"epochs": 0, "generator_steps": 1, "batch": 2, "nz": 1, "width": 1}.items():
            ranges.whole(f"expert.{key}", getattr(self, key), low)
        for key in ("generator_lr", "student_lr", "asked", "normal", "apart"):
            ranges.number(f"expert.{key}", getattr(self, key), 0.0)
        ranges.number("expert.student_momentum", self.student_momentum, 0.0, 0.999)
        ranges.number("expert.temperature", self.temperature, 0.0, above=True)
        ranges.name("expert.student", self.student, STUDENTS)

    def head_scale(self, memory: Shot) -> float:
        return 1.0

    def done(self, round: int, memory: Shot) -> bool:
        return memory.fired

    def init(self, world: World, start: Vector) -> Shot:
        if self.epochs and world.network.input_kind == "text":
            raise UserError("expert: text is token numbers, which no generator makes", key="expert", found="text")
        return Shot()

    def make(self, world: World, memory: Shot, making: Making) -> Made[Shot]:
        if not self.epochs:
            return Made(making.average, Shot(True))
        models = ends(making)
        with one_thread():
            phase = SynthesisPhase(self, world, making, models)
            phase.run()
        k, note = len(models), phase.tally.note()
        info = Info(
            {"dphase.teachers": float(k), **phase.tally.values()},
            (f"round {making.round}: {note}",) if note else (),
            {
                "teacher_models": models,
                "teacher_weights": np.full((k, world.census.classes), 1 / k),
                "teacher_logits": np.ones(1),
                **phase.shown(),
            },
        )
        return Made(phase.student.vector(), Shot(True), info)


def ensemble(network: Network, models: Matrix, average: Vector) -> Callable[[Tensor], tuple[Tensor, Tensor | None]]:
    """x → (k, B, C) logits and BN(x), None where the models have no batch normalisation."""
    if normalises(network.layout):
        return Witnesses(network, models)
    shape = len(models), network.layout.classes
    alike = Teachers(models, np.ones(shape, bool), np.full(shape, 1 / len(models)))
    clients = Ensemble(network, alike, average, mask="none", mixture="logit", temperature=1.0)
    return lambda x: (clients.logits(x), None)


class SynthesisPhase:
    """What the distillation works on."""

    def __init__(self, rules: Synthesis, world: World, making: Making, models: Matrix) -> None:
        self.rules, self.world, self.tally = rules, world, Tally()
        self.rng = world.streams("dphase", making.round)
        self.clients = ensemble(world.network, models, making.average)
        self.pool: list[tuple[Tensor, Tensor]] = []  # inputs (B, …) with the clients' mean logits (B, C)
        self.asked: list[Tensor] = []
        self.student = Student(
            world.network,
            world.fresh(0) if rules.student == "random" else making.average,
            world.layout.mask(WHOLE),
            rate=rules.student_lr,
            stepper=Sgd(rules.student_momentum),
        )

    def run(self) -> None:
        """All epochs, or as many as go before ten steps in a row are discarded."""
        import torch

        rules = self.rules
        for epoch in range(rules.epochs):
            self.synthesise(epoch)
            x = torch.cat([batch for batch, _ in self.pool])
            logits = torch.cat([said for _, said in self.pool])
            order = torch.from_numpy(self.rng.permutation(len(x)))
            for rows in torch.split(order, rules.batch):
                self.learn(x[rows], logits[rows])
                if self.tally.over:
                    return

    def synthesise(self, epoch: int) -> None:
        """One batch more for the pool: the inputs of least loss on a fresh generator's way."""
        import torch

        rules, classes = self.rules, self.world.census.classes
        y = torch.from_numpy(np.sort(self.rng.integers(classes, size=rules.batch)))
        z = torch.from_numpy(self.rng.standard_normal((rules.batch, rules.nz), np.float32)).requires_grad_()
        module = conditional(self.world, rules.nz, rules.width, stream=("synthesis", epoch))
        maker = Maker(module, None, rate=rules.generator_lr, clip=np.inf, stepper=Adam(0.5), beside=(z,))
        nothing = torch.zeros(rules.batch, classes)  # the labels enter by the loss alone
        best: list[tuple[float, Tensor, Tensor]] = []

        def loss() -> Tensor:
            x = maker(z, nothing)
            logits, off = self.clients(x)
            mean = logits.mean(0)
            log_t, log_s = mean.log_softmax(-1), self.student.logits(x).log_softmax(-1)
            fidelity = losses.crossentropy(mean, y).mean()
            transfer = losses.transferability(log_t, log_s, losses.contested("disagree", log_t, log_s, y))
            total = rules.asked * fidelity + rules.apart * transfer
            said = {"fidelity": fidelity, "transfer": transfer}
            if off is not None:
                total, said["normal"] = total + rules.normal * off, off
            cost = float(total.detach())
            if math.isfinite(cost) and (not best or cost < best[0][0]):
                best[:] = [(cost, x.detach(), mean.detach())]
            self.tally.say(**said)
            return total

        for _ in range(rules.generator_steps):
            maker.step(loss, self.tally)
        if best:
            self.pool.append(best[0][1:])
            self.asked.append(y)

    def learn(self, x: Tensor, logits: Tensor) -> None:
        """A student step."""
        t = self.rules.temperature
        found: list[Tensor] = []
        log_t = (logits / t).log_softmax(-1)

        def loss(student: Callable[[Tensor], Tensor]) -> Tensor:
            found.append(losses.student(log_t, (student(x) / t).log_softmax(-1), t))
            return found[-1]

        if self.student.step(loss, self.tally):
            self.tally.say(kl=found[-1])

    def shown(self) -> dict[str, Array]:
        """Inputs of the last batch for a report, spread over its labels."""
        if not self.pool:
            return {}
        rows = np.linspace(0, self.rules.batch - 1, min(SHOWN, self.rules.batch)).astype(np.int64)
        return {"samples": self.pool[-1][0].numpy()[rows], "samples_labels": self.asked[-1].numpy()[rows]}
