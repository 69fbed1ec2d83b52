"""FedFTG's D-phase with the losses of its authors' code, which differ from the paper's formulas.

One iteration, for clients k with α_{k,y} = n_{k,y} / Σ_j n_{j,y}, on labels y ~ Σ_k n_{k,y} and x = G(z, y):

    generator   client after client, a step of Adam on
                − (1/B) Σ_b α_{k,y_b} mean_c |f_c(x_b; θ) − f_c(x_b; k)|          the client's side is a constant
                + cls · (mean_b α_{k,y_b}) · (mean_b CE(f(x_b; k), y_b))           class weights of a sample are lost
                + dis / clients · L_div(x, z)
    student     steps of SGD on − (1/BC) Σ_b Σ_c t_{b,c} log q_{b,c},  t = Σ_k α_{k,y} softmax(f(x; k))

The student's loss is a mean over classes too, so its rate is C times that of the usual one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from disue.core.checks import IntVector, Vector
from disue.core.errors import UserError
from disue.core.layout import WHOLE
from disue.core.method import Info, Made, Making
from disue.core.orders import Sight
from disue.core.world import World
from disue.parts.expert import losses, ranges
from disue.parts.expert.distil import Ensemble, Maker, Student, Tally, flattened, one_thread
from disue.parts.expert.generator import conditional
from disue.parts.expert.labels import draw, label_shares
from disue.parts.expert.singles import singles
from disue.parts.expert.teachers import Ledger, speaking
from disue.parts.expert.weights import group_weights

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class HardMemory:
    """The generator's weights (p,), kept from round to round."""

    weights: Vector


@dataclass(frozen=True)
class HardSamples:
    """Data-free distillation of single clients on samples that the student finds hard, as FedFTG's code has it.

    iterations, generator_steps, student_steps, batch   the size of a D-phase; a generator step is one per client
    nz, width           the generator: noise, width
    generator_lr        learning rate of the generator's Adam
    student_lr          learning rate of the student's SGD, for a loss that is a mean over classes
    weight_decay        of the student
    lr_decay            both learning rates times lr_decay^round
    cls, dis            weights of the asked label and of diversity in the generator's loss
    """

    iterations: int = 10
    generator_steps: int = 1
    student_steps: int = 5
    batch: int = 50
    nz: int = 100
    width: int = 16
    generator_lr: float = 0.01
    student_lr: float = 0.1
    weight_decay: float = 1e-3
    lr_decay: float = 0.998
    cls: float = 1.0
    dis: float = 1.0
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.VECTORS, Sight.LABELS})
    serves: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for key, low in {"iterations": 0, "generator_steps": 0, "student_steps": 0, "batch": 2}.items():
            ranges.whole(f"expert.{key}", getattr(self, key), low)
        for key in ("nz", "width"):
            ranges.whole(f"expert.{key}", getattr(self, key), 1)
        for key in ("generator_lr", "student_lr", "weight_decay", "cls", "dis"):
            ranges.number(f"expert.{key}", getattr(self, key), 0.0)
        ranges.number("expert.lr_decay", self.lr_decay, 0.0, 1.0, above=True)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do by the keys alone: the expert is the average, bit for bit."""
        return self.iterations == 0 or self.student_steps == 0

    def head_scale(self, memory: HardMemory) -> float:
        return 1.0

    def init(self, world: World, start: Vector) -> HardMemory:
        if self.idle:
            return HardMemory(np.zeros(0, np.float32))
        if world.network.input_kind == "text":
            raise UserError("expert: text is token numbers, which no generator makes", key="expert", found="text")
        return HardMemory(flattened(conditional(world, self.nz, self.width)))

    def make(self, world: World, memory: HardMemory, making: Making) -> Made[HardMemory]:
        if self.idle:
            return Made(making.average, memory)
        alone = singles(making)
        counts = making.uploads.labels(alone.groups)
        ledger = Ledger.empty(world.census.classes).after(alone.groups.numbers, counts)
        teachers, heard = speaking(alone.models, ledger, lambda given: group_weights("count", given))
        said = {"dphase.teachers": float(len(teachers.models))}
        why = teachers.why_not()
        if why:
            note = f"round {making.round}: D-phase skipped, {why}; the expert is the average"
            return Made(making.average, memory, Info({**said, "dphase.skipped": 1.0}, (note,)))
        with one_thread():
            clients = Ensemble(
                world.network, teachers, making.average, mask="none", mixture="probability", temperature=1.0
            )
            phase = HardPhase(self, world, making, memory, clients)
            phase.run(draw(label_shares("prior", heard), self.batch * self.iterations, phase.rng))
        note = phase.tally.note()
        info = Info(
            {**said, "dphase.skipped": 0.0, **phase.tally.values()},
            (f"round {making.round}: {note}",) if note else (),
            {"teacher_models": teachers.models, "teacher_weights": teachers.alpha},
        )
        return Made(phase.student.vector(), HardMemory(flattened(phase.maker.module)), info)


class HardPhase:
    """What one round's distillation works on."""

    def __init__(self, rules: HardSamples, world: World, making: Making, memory: HardMemory, clients: Ensemble) -> None:
        fade = rules.lr_decay**making.round
        module = conditional(world, rules.nz, rules.width)
        self.rules, self.clients, self.tally = rules, clients, Tally()
        self.rng = world.streams("dphase", making.round)
        self.maker = Maker(module, memory.weights, rate=rules.generator_lr * fade, clip=np.inf)
        self.student = Student(
            world.network,
            making.average,
            world.layout.mask(WHOLE),
            rate=rules.student_lr * fade,
            decay=rules.weight_decay,
        )

    def run(self, labels: IntVector) -> None:
        """All iterations, or as many as go before ten steps in a row are discarded."""
        import torch

        rules = self.rules
        for row in labels.reshape(rules.iterations, rules.batch):
            y = torch.from_numpy(row.copy())
            z = torch.from_numpy(self.rng.standard_normal((row.size, rules.nz), np.float32))
            for _ in range(rules.generator_steps):
                for client in range(len(self.clients.models)):
                    self.maker.step(partial(self.hardness, z, y, client), self.tally)
                    if self.tally.over:
                        return
            with torch.no_grad():
                x = self.maker(z, y)
            log_t = self.clients.teach(x, y)
            for _ in range(rules.student_steps):
                self.learn(x, log_t)
                if self.tally.over:
                    return

    def hardness(self, z: Tensor, y: Tensor, client: int) -> Tensor:
        """The generator's loss for one client."""
        rules, clients = self.rules, self.clients
        x, weight = self.maker(z, y), clients.weights(y)[client]
        theirs = clients.network.forward(clients.models[client], x)[0]
        apart = (self.student.logits(x) - theirs.detach()).abs().mean(1)
        asked = losses.crossentropy(theirs, y).mean() * weight.mean()
        spread = losses.diversity(x, z)
        self.tally.say(fidelity=asked, transfer=-(apart * weight).mean(), diversity=spread)
        return -(apart * weight).mean() + rules.cls * asked + rules.dis * spread / len(clients.models)

    def learn(self, x: Tensor, log_t: Tensor) -> None:
        """A student step."""
        found: list[Tensor] = []

        def loss(logits: Callable[[Tensor], Tensor]) -> Tensor:
            log_q = logits(x).log_softmax(-1)
            found.append(losses.divergence(log_t, log_q).mean())
            return -(log_t.exp() * log_q).mean()

        if self.student.step(loss, self.tally):
            self.tally.say(kl=found[-1])
