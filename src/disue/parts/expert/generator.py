"""The universal expert by data-free distillation: a conditional generator and group models as teachers.

Reconstructed from the abstract and summaries of DisUE (Leng et al., IJCAI 2025, arXiv 2506.20285) and its
relatives FedFTG (CVPR 2022), DENSE (NeurIPS 2022), DFRD (NeurIPS 2023). One round:

    expert ← average
    repeat `iterations` times
        y ~ group label sampling, z ~ N(0, I); α_{g,y} from group weighting ...... labels.py, weights.py
        `generator_steps` of Adam on L_fid + r(t) (β_t L_tran + β_d L_div) ....... losses.py
        `student_steps` of SGD on T² KL(teachers' masked mixture ‖ expert) ....... teachers.py, x cached

The generator's weights are kept from round to round, the optimisers' states are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from disue.core.checks import Array, Float64, Vector
from disue.core.errors import UserError
from disue.core.layout import WHOLE
from disue.core.method import Info, Made, Making
from disue.core.orders import Sight
from disue.core.world import World
from disue.parts.expert import ranges
from disue.parts.expert.distil import Ensemble, Maker, Student, flattened, one_thread
from disue.parts.expert.labels import check_labels, label_shares
from disue.parts.expert.losses import DISAGREEMENTS, FIDELITIES
from disue.parts.expert.phase import Phase, Pool, batches, void
from disue.parts.expert.singles import singles
from disue.parts.expert.steppers import Sgd
from disue.parts.expert.teachers import MASKS, MIXTURES, Ledger, speaking
from disue.parts.expert.weights import check_weights, group_weights

if TYPE_CHECKING:
    from torch import nn

SOURCES = ("generator", "noise", "real")
CLIENTS = "clients"
SHOWN = 16  # pseudo-inputs that a report draws


def conditional(
    world: World, nz: int, width: int, output: str = "tanh", stream: tuple[str, *tuple[int, ...]] = ("generator",)
) -> nn.Module:
    """A generator for this world's inputs, with weights from a stream, by its name and numbers."""
    from disue.models.generators import generator

    network = world.network
    seed = world.streams.torch_seed(*stream)
    shape, kind = network.input_shape, network.input_kind
    return generator(shape, kind, world.census.classes, nz, width, output=output, seed=seed)


@dataclass(frozen=True, eq=False)
class GeneratorMemory:
    """What the next round needs.

    weights  (p,) the generator's        older   (p,) their moving average, empty where it is not kept
    ledger   label counts of the groups, empty where only this round's groups teach
    """

    weights: Vector
    older: Vector
    ledger: Ledger


@dataclass(frozen=True)
class GeneratorDistil:
    """Data-free distillation of the group models into the expert, which starts as the average.

    iterations, generator_steps, student_steps, batch   the size of a D-phase
    fresh_batches   every student step on a batch of its own, instead of all on their iteration's
    nz, width, output   the generator: noise, width, "tanh" (±3 standard deviations) or "norm"
    source          "generator"; "noise": Gaussian inputs; "real": public inputs with their labels
    transfer, diversity   β_t, β_d, times r(t) = clip((t − warmup) / ramp, 0, 1)
    labels (a, b, tau)    group label sampling
    weights (weights_…, power)   group weighting
    mask, mixture   how teachers are completed for classes they never saw, and mixed
    fidelity, disagree    which teachers must see the asked label; where they are set against the student
    temperature     T of teachers and student
    teachers        "round": groups with members in the cohort; "all": the others too, by decay^age; "clients": the
                    cohort's clients, each by itself
    ce              λ_ce: cross-entropy of the student on the asked labels
    ema, ema_weight       the generator's moving average over rounds (0: none), and its batches' weight
    void            skip where teachers name the asked label on more than this share of noise inputs
    lr_decay        both learning rates times lr_decay^round
    lot             label counts are those of standing lots of so many clients; 0: of whoever answered
    min_class       with lots: a class that fewer clients of a lot hold is held back
    """

    iterations: int = 10
    generator_steps: int = 1
    student_steps: int = 5
    batch: int = 64
    fresh_batches: bool = False
    nz: int = 100
    width: int = 16
    output: str = "tanh"
    source: str = "generator"
    generator_lr: float = 1e-3
    student_lr: float = 1e-3  # a tenth of what the relatives take: 0.01 and more was seen to harm
    student_momentum: float = 0.0
    lr_decay: float = 0.998
    generator_clip: float = 10.0
    student_clip: float = 1.0  # with 0.05 and no clipping the student falls to chance in 20 steps
    transfer: float = 1.0
    diversity: float = 1.0
    warmup: int = 5  # at first every teacher is near chance: the adversarial term would only add noise
    ramp: int = 10
    temperature: float = 1.0
    labels: str = "prior"
    a: float = 1.0
    b: float = 1.0
    tau: float = 0.5
    weights: str = "count"
    weights_gamma: float = 1.0
    weights_rho: float = 0.0
    power: float = 1.0
    weights_temperature: float = 0.2
    mask: str = "anchor"
    mixture: str = "probability"
    fidelity: str = "each"
    disagree: str = "disagree-correct"
    teachers: str = "round"
    decay: float = 0.9
    ce: float = 0.0
    ema: float = 0.0
    ema_weight: float = 0.5
    void: float = 0.95
    enabled: bool = True
    lot: int = 0
    min_class: int = 1

    def __post_init__(self) -> None:
        for key, low in {"iterations": 0, "generator_steps": 0, "student_steps": 0, "batch": 2}.items():
            ranges.whole(f"expert.{key}", getattr(self, key), low)
        for key, low in {"nz": 1, "width": 1, "warmup": 0, "ramp": 0, "lot": 0, "min_class": 1}.items():
            ranges.whole(f"expert.{key}", getattr(self, key), low)
        for key in ("generator_lr", "student_lr", "transfer", "diversity", "ce", "ema_weight"):
            ranges.number(f"expert.{key}", getattr(self, key), 0.0)
        for key in ("generator_clip", "student_clip", "temperature", "weights_temperature"):
            ranges.number(f"expert.{key}", getattr(self, key), 0.0, above=True)
        for key in ("lr_decay", "decay"):
            ranges.number(f"expert.{key}", getattr(self, key), 0.0, 1.0, above=True)
        for key, high in {"void": 1.0, "student_momentum": 0.999, "ema": 0.999}.items():
            ranges.number(f"expert.{key}", getattr(self, key), 0.0, high)
        for key, words in {
            "output": ("tanh", "norm"),
            "source": SOURCES,
            "mask": MASKS,
            "mixture": MIXTURES,
            "fidelity": FIDELITIES,
            "disagree": DISAGREEMENTS,
            "teachers": ("round", "all", CLIENTS),
        }.items():
            ranges.name(f"expert.{key}", getattr(self, key), words)
        for key in ("fresh_batches", "enabled"):
            ranges.switch(f"expert.{key}", getattr(self, key))
        check_labels(self.labels, a=self.a, b=self.b, tau=self.tau)
        check_weights(self.weights, gamma=self.weights_gamma, rho=self.weights_rho, power=self.power)

    @property
    def sight(self) -> frozenset[Sight]:
        single = {Sight.VECTORS} if self.teachers == CLIENTS else set()
        return frozenset({Sight.LABELS, Sight.SUMS, *single})

    @property
    def serves(self) -> bool:
        return True

    def head_scale(self, memory: GeneratorMemory) -> float:
        return 1.0

    def strength(self, round: int) -> float:
        """r(t): 0 in the warm-up rounds, then rising to 1."""
        if self.ramp == 0:
            return float(round >= self.warmup)
        return min(max((round - self.warmup) / self.ramp, 0.0), 1.0)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do by the keys alone: the expert is the average, bit for bit."""
        return not self.enabled or self.iterations == 0 or self.student_steps == 0

    @property
    def mark(self) -> str:
        return "real data" if self.source == "real" and not self.idle else ""

    def init(self, world: World, start: Vector) -> GeneratorMemory:
        none = np.zeros(0, np.float32)
        memory = GeneratorMemory(none, none, Ledger.empty(world.census.classes))
        if self.idle:
            return memory
        if self.source == "real":
            Pool.of(world)
        elif world.network.input_kind == "text":
            raise UserError(
                'expert: text is token numbers, which no generator makes; take family = "moments" instead.',
                key="expert.family",
                found="generator",
            )
        if self.source == "generator":
            return GeneratorMemory(flattened(self._module(world)), none, memory.ledger)
        return memory

    def _module(self, world: World) -> nn.Module:
        return conditional(world, self.nz, self.width, self.output)

    def make(self, world: World, memory: GeneratorMemory, making: Making) -> Made[GeneratorMemory]:
        if self.idle:
            return Made(making.average, memory)
        with one_thread():
            return self._make(world, memory, making)

    def _make(self, world: World, memory: GeneratorMemory, making: Making) -> Made[GeneratorMemory]:
        if self.teachers == CLIENTS:
            making = singles(making)
        ledger = memory.ledger.after(making.groups.numbers, making.uploads.labels(making.groups))
        kept = GeneratorMemory(memory.weights, memory.older, ledger if self.teachers == "all" else memory.ledger)
        teachers, heard = speaking(making.models, ledger, self._weighed, self.decay)
        shares = label_shares(self.labels, heard, a=self.a, b=self.b, tau=self.tau)
        pool = Pool.of(world) if self.source == "real" else None
        if pool is not None:  # a class without real inputs cannot be asked for
            shares = np.where(pool.amount > 0, shares, 0.0)
        why = teachers.why_not()
        if not why and not shares.sum() > 0:
            why = "no class can be asked for"
        elif not why and not np.isfinite(making.average).all():
            why = "the average is not finite"
        ensemble = Ensemble(
            world.network,
            teachers,
            making.average,
            mask=self.mask,
            mixture=self.mixture,
            temperature=self.temperature,
        )
        empty = False
        if not why and pool is None:
            empty = void(ensemble, shares, world, world.streams("dphase-void", making.round)) > self.void
            why = "the teachers name the asked label on noise" if empty else ""
        said = {"dphase.teachers": float(len(teachers.models)), "dphase.void": float(empty)}
        if why:
            note = f"round {making.round}: D-phase skipped, {why}; the expert is the average"
            info = Info({**said, "dphase.skipped": 1.0, "dphase.discarded": 0.0}, (note,))
            return Made(making.average, kept, info)
        return self._distilled(world, kept, making, ensemble, shares, pool, said)

    def _weighed(self, counts: Array) -> Float64:
        """α_{g,y} by group weighting."""
        return group_weights(
            self.weights,
            counts,
            gamma=self.weights_gamma,
            rho=self.weights_rho,
            temperature=self.weights_temperature,
            power=self.power,
        )

    def _distilled(
        self,
        world: World,
        memory: GeneratorMemory,
        making: Making,
        ensemble: Ensemble,
        shares: Float64,
        pool: Pool | None,
        said: dict[str, float],
    ) -> Made[GeneratorMemory]:
        fade = self.lr_decay**making.round
        maker = older = None
        if self.source == "generator":
            maker = Maker(self._module(world), memory.weights, rate=self.generator_lr * fade, clip=self.generator_clip)
            older = Maker(self._module(world), memory.older) if memory.older.size else None
        student = Student(
            world.network,
            making.average,
            world.layout.mask(WHOLE),
            rate=self.student_lr * fade,
            clip=self.student_clip,
            stepper=Sgd(self.student_momentum),
        )
        phase = Phase(self, making.round, ensemble, student, maker, older)
        phase.run(batches(self, shares, world, pool, world.streams("dphase", making.round)))
        if maker is not None:
            memory = self._kept(memory, flattened(maker.module))
        arrays: dict[str, Array] = {
            "teacher_models": ensemble.teachers.models,
            "teacher_weights": ensemble.teachers.alpha,
        }
        if self.mixture == "logit":
            arrays["teacher_logits"] = np.ones(1)
        if phase.last is not None:
            arrays["samples"], arrays["samples_labels"] = (part[:SHOWN].numpy() for part in phase.last)
        note = phase.tally.note()
        notes = (f"round {making.round}: {note}",) if note else ()
        info = Info({**said, "dphase.skipped": 0.0, **phase.tally.values()}, notes, arrays)
        return Made(student.vector(), memory, info)

    def _kept(self, memory: GeneratorMemory, weights: Vector) -> GeneratorMemory:
        older = memory.older
        if self.ema:
            before = older if older.size else weights
            older = (self.ema * before + (1.0 - self.ema) * weights).astype(np.float32)
        return GeneratorMemory(weights, older, memory.ledger)
