"""The D-phase itself: labels, noise and inputs in a fixed order, generator steps, student steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from disue.core.checks import Array, Float64, IntVector
from disue.core.errors import UserError
from disue.core.world import World
from disue.parts.expert import losses
from disue.parts.expert.distil import Ensemble, Maker, Student, Tally
from disue.parts.expert.labels import draw

if TYPE_CHECKING:
    from torch import Tensor

    from disue.parts.expert.generator import GeneratorDistil


PROBES = 256  # noise inputs on which obvious teachers are recognised


@dataclass(frozen=True, eq=False)
class Block:
    """Labels (B,) of a batch, with the noise (B, nz) that a generator turns into inputs, or the inputs."""

    labels: Tensor
    noise: Tensor | None
    inputs: Tensor | None


@dataclass(frozen=True, eq=False)
class Lesson:
    """Inputs with what the teachers say of them: made once, used for every student step on them."""

    x: Tensor
    log_t: Tensor
    weight: float


@dataclass(frozen=True, eq=False)
class Pool:
    """Real inputs with labels that are not the clients', to be drawn by class."""

    inputs: Array
    order: IntVector
    first: IntVector
    amount: IntVector

    @staticmethod
    def of(world: World) -> Pool:
        if world.public is None or world.public_labels is None:
            raise UserError(
                'expert.source = "real" teaches the student on inputs that are not the clients\', with their '
                'labels: this run has none; give it public data, or take source = "generator".',
                key="expert.source",
                found="real",
            )
        amount = np.bincount(world.public_labels, minlength=world.census.classes).astype(np.int64)
        if amount.size > world.census.classes:
            raise UserError(
                f"expert.source: public labels lie in 0 … {world.census.classes - 1}, got {amount.size - 1}.",
                key="expert.source",
                found=int(amount.size - 1),
            )
        order = np.argsort(world.public_labels, kind="stable").astype(np.int64)
        return Pool(world.public, order, np.cumsum(amount) - amount, amount)

    def pick(self, labels: IntVector, rng: np.random.Generator) -> Array:
        """One real input of each label, drawn with replacement."""
        within = np.floor(rng.random(labels.size) * self.amount[labels]).astype(np.int64)
        found: Array = self.inputs[self.order[self.first[labels] + within]]
        return found


def batches(
    rules: GeneratorDistil, shares: Float64, world: World, pool: Pool | None, rng: np.random.Generator
) -> Iterator[tuple[Block, ...]]:
    """For each iteration its batches; the labels of the whole phase are stratified together."""
    import torch

    per = rules.student_steps if rules.fresh_batches else 1
    labels = draw(shares, rules.batch * rules.iterations * per, rng)
    for rows in labels.reshape(rules.iterations, per, rules.batch):
        out = []
        for row in rows:
            noise = inputs = None
            if rules.source == "generator":
                noise = torch.from_numpy(rng.standard_normal((row.size, rules.nz), np.float32))
            elif pool is not None:
                inputs = torch.from_numpy(pool.pick(row, rng))
            else:
                inputs = torch.from_numpy(gaussian(row.size, world, rng))
            out.append(Block(torch.from_numpy(row.copy()), noise, inputs))
        yield tuple(out)


def gaussian(amount: int, world: World, rng: np.random.Generator) -> Array:
    """(amount, *shape) noise with the mean and variance of standardised inputs."""
    return rng.standard_normal((amount, *world.network.input_shape), np.float32)


def void(ensemble: Ensemble, shares: Float64, world: World, rng: np.random.Generator) -> float:
    """The share of noise inputs on which the teachers name the class that is asked for.

    Label-pure teachers name their label whatever they are shown: a generator then learns nothing.
    """
    import torch

    labels = rng.choice(shares.size, PROBES, p=shares / shares.sum())
    noise = torch.from_numpy(gaussian(PROBES, world, rng))
    return ensemble.obvious(noise, torch.from_numpy(labels))


class Phase:
    """What one round's distillation works on. `older` is the generator's moving average, if it is kept."""

    def __init__(
        self,
        rules: GeneratorDistil,
        round: int,
        ensemble: Ensemble,
        student: Student,
        maker: Maker | None,
        older: Maker | None,
    ) -> None:
        self.rules, self.ensemble, self.student = rules, ensemble, student
        self.maker, self.older = maker, older
        self.ramp = rules.strength(round)
        self.tally = Tally()
        self.last: tuple[Tensor, Tensor] | None = None

    def run(self, blocks: Iterator[tuple[Block, ...]]) -> None:
        """All iterations, or as many as go before ten steps in a row are discarded."""
        rules = self.rules
        for batch in blocks:
            for _ in range(rules.generator_steps if self.maker is not None else 0):
                self.improve(batch[0])
                if self.tally.over:
                    return
            taught: list[list[Lesson]] = []
            for step in range(rules.student_steps):
                at = step % len(batch)
                if at == len(taught):
                    taught.append(self.lessons(batch[at]))
                self.learn(taught[at], batch[at].labels)
                if self.tally.over:
                    return

    def improve(self, block: Block) -> None:
        """A generator step on L_fid + r(t) (β_t L_tran + β_d L_div)."""
        rules, maker = self.rules, self.maker
        if maker is None or block.noise is None:
            return
        z, labels, said = block.noise, block.labels, {}

        def loss() -> Tensor:
            x = maker(z, labels)
            logits = self.ensemble.logits(x)
            needed = rules.mask != "none" or rules.fidelity == "average"
            average = self.ensemble.average(x) if needed else None
            log_t = self.ensemble.voice(logits, average, labels)
            log_q = (self.student.logits(x) / rules.temperature).log_softmax(-1)
            mask = losses.contested(rules.disagree, log_t, log_q, labels)
            total = losses.fidelity(rules.fidelity, logits, average, labels, self.ensemble.weights(labels))
            said["fidelity"] = total
            said["transfer"] = losses.transferability(log_t, log_q, mask)
            said["diversity"] = losses.diversity(x, z)
            for name, weight in (("transfer", rules.transfer), ("diversity", rules.diversity)):
                if self.ramp * weight:  # 0 · inf is no number
                    total = total + self.ramp * weight * said[name]
            return total

        if maker.step(loss, self.tally):
            self.tally.say(**said)

    def lessons(self, block: Block) -> list[Lesson]:
        """The batch as the generator makes it now, and as its moving average does."""
        import torch

        labels = block.labels
        found: list[tuple[Tensor, float]] = []
        if block.inputs is not None:
            found.append((block.inputs, 1.0))
        elif self.maker is not None and block.noise is not None:
            with torch.no_grad():
                self.last = self.maker(block.noise, labels), labels
                found.append((self.last[0], 1.0))
                if self.older is not None:
                    found.append((self.older(block.noise, labels), self.rules.ema_weight))
        return [Lesson(x, self.ensemble.teach(x, labels), weight) for x, weight in found]

    def learn(self, lessons: list[Lesson], labels: Tensor) -> None:
        """A student step on T² KL(t ‖ q), with λ_ce times the cross-entropy of the asked labels."""
        rules, said = self.rules, {}

        def loss(logits: Callable[[Tensor], Tensor]) -> Tensor:
            terms = []
            for lesson in lessons:
                found = logits(lesson.x)
                log_q = (found / rules.temperature).log_softmax(-1)
                terms.append(lesson.weight * losses.student(lesson.log_t, log_q, rules.temperature))
                if rules.ce and lesson is lessons[0]:
                    said["ce"] = rules.ce * losses.crossentropy(found, labels).mean()
            said["kl"] = sum(terms[1:], terms[0])
            return said["kl"] + said["ce"] if "ce" in said else said["kl"]

        if self.student.step(loss, self.tally):
            self.tally.say(kl=said["kl"])
