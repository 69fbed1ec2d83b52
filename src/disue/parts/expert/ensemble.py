"""Single clients' models distilled into the average on unlabelled inputs that the server owns.

target   softmax(mean over clients of f(x; end) / T), made once for every input that is drawn
student  `steps` of Adam on T² KL(target ‖ student), the rate falling to 0 along half a cosine
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from disue.core.checks import Array, Float64, IntMatrix, Matrix, Vector
from disue.core.errors import UserError
from disue.core.layout import WHOLE
from disue.core.method import Info, Made, Making
from disue.core.orders import Sight
from disue.core.world import Network, World
from disue.parts.expert import losses, ranges
from disue.parts.expert.distil import Student, Tally, one_thread
from disue.parts.expert.singles import ends
from disue.parts.expert.steppers import Adam

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class EnsembleDistil:
    """The average, taught by the mean logits of the cohort's clients on public inputs.

    steps        steps of the student; 0 is the average, bit for bit
    batch        public inputs a step
    lr           learning rate of the student's Adam at the first step
    temperature  T of teachers and student
    """

    steps: int = 100
    batch: int = 128
    lr: float = 1e-3
    temperature: float = 1.0
    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.VECTORS})
    serves: ClassVar[bool] = True

    def __post_init__(self) -> None:
        ranges.whole("expert.steps", self.steps, 0)
        ranges.whole("expert.batch", self.batch, 1)
        ranges.number("expert.lr", self.lr, 0.0)
        ranges.number("expert.temperature", self.temperature, 0.0, above=True)

    @property
    def mark(self) -> str:
        return "public data" if self.steps else ""

    def head_scale(self, memory: None) -> float:
        return 1.0

    def init(self, world: World, start: Vector) -> None:
        if self.steps and world.public is None:
            raise UserError(
                "expert: distillation on public inputs needs some, and this run has none: give data.public or "
                "data.public_share.",
                key="data.public",
            )

    def make(self, world: World, memory: None, making: Making) -> Made[None]:
        if not self.steps or world.public is None:
            return Made(making.average, None)
        models = ends(making)
        said = {"distil.teachers": float(len(models))}
        if len(models) < 2:
            note = f"round {making.round}: one teacher, nothing is distilled; the expert is the average"
            return Made(making.average, None, Info(said, (note,)))
        with one_thread():
            student, tally = self._taught(world, making, models, world.public)
        note = tally.note()
        last = {"distil.kl": tally.said["kl"][-1]} if tally.said else {}
        info = Info(
            {**said, "distil.discarded": float(tally.discarded), **last},
            (f"round {making.round}: {note}",) if note else (),
            {
                "teacher_models": models,
                "teacher_weights": np.full((len(models), world.census.classes), 1 / len(models)),
                "teacher_logits": np.ones(1),
            },
        )
        return Made(student.vector(), None, info)

    def _taught(self, world: World, making: Making, models: Matrix, inputs: Array) -> tuple[Student, Tally]:
        """The student after its steps."""
        import torch

        rows = drawn(len(inputs), self.steps, self.batch, world.streams("distil", making.round))
        used, where = np.unique(rows, return_inverse=True)
        seen = inputs[used]
        targets = mean_logits(world.network, models, seen) / self.temperature
        log_t = torch.from_numpy(targets.astype(np.float32)).log_softmax(-1)
        x = torch.from_numpy(seen)
        student = Student(world.network, making.average, world.layout.mask(WHOLE), rate=self.lr, stepper=Adam())
        tally = Tally()
        for step, batch in enumerate(torch.from_numpy(where.reshape(rows.shape))):
            student.rate = self.lr * cosine(step, self.steps)
            self._step(student, tally, x[batch], log_t[batch])
            if tally.over:
                break
        return student, tally

    def _step(self, student: Student, tally: Tally, x: Tensor, log_t: Tensor) -> None:
        found: list[Tensor] = []

        def loss(logits: Callable[[Tensor], Tensor]) -> Tensor:
            log_q = (logits(x) / self.temperature).log_softmax(-1)
            found.append(losses.student(log_t, log_q, self.temperature))
            return found[-1]

        if student.step(loss, tally):
            tally.say(kl=found[-1])


def drawn(amount: int, steps: int, batch: int, rng: np.random.Generator) -> IntMatrix:
    """(steps, batch) rows of `amount` inputs: passes over all of them, each in a new order, one behind the other."""
    passes = -(-steps * batch // amount)
    return np.concatenate([rng.permutation(amount) for _ in range(passes)])[: steps * batch].reshape(steps, batch)


def cosine(step: int, steps: int) -> float:
    """½ (1 + cos(π · step / steps)): from 1 at the first step to nearly 0 at the last."""
    return 0.5 * (1.0 + math.cos(math.pi * step / steps))


def mean_logits(network: Network, models: Matrix, inputs: Array) -> Float64:
    """(n, classes) the logits of all models on `inputs`, averaged in float64."""
    total = np.zeros((len(inputs), network.layout.classes))
    for model in models:
        total += network.logits(model, inputs)
    return total / len(models)
