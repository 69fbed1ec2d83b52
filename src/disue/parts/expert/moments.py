"""The moments family: a linear head from pooled class moments of the features, put on the average.

    clients   n_c, Σ φ, Σ φ φᵀ of their own images under the fresh average, and how the features moved
    server    moves what it kept along with the body, adds the new moments, solves for the head
    expert    the average with that head; the body is not touched

With count weights the head does not depend on the grouping at all: pooled sums suffice, and pooled sums
are what is asked for. Groups enter only through other weights, through their models, or through the
average. Closed-form heads from class moments are CCVR's (Luo et al., NeurIPS 2021, arXiv 2106.05001) and
FedCGS's (Guan et al., arXiv 2503.06962), once, after training; here the head is fed back every round.

Deviates from a plain discriminant: shrinkage rises to 1 while the store holds fewer than 2F degrees of
freedom, and a class never seen keeps its column of the averaged head.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from disue.core.checks import Float64, Vector, frozen
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import HEAD, Layout, Part
from disue.core.method import NONE, Info, Made, Making
from disue.core.orders import Orders, Report, Sight
from disue.core.uploads import Moments
from disue.core.world import World, declared
from disue.parts.expert import guard, ranges, store
from disue.parts.expert.borne import Bearing, Heard, Row, said
from disue.parts.expert.closing import Closing
from disue.parts.expert.fit import MATCH, NORM, SPREAD, Recipe, averaged_head, fitted, placed
from disue.parts.expert.heads import Teaching
from disue.parts.expert.labels import check_labels, label_shares
from disue.parts.expert.store import MomentStore
from disue.parts.expert.weights import check_weights

HEADS = ("lda", "ridge", "sgd", "ncm")
STALE = ("keep", "skip")
VECTORS = ("fresh", "received")
ROBUST = ("mean", "median-of-means")
STALE_NOTE = "the door's moments are stale, the head is made from the store as it stands"
LABELS = ("prior", "tempered", "uniform")  # what a store without groups can say


@dataclass(frozen=True)
class MomentsDistil:
    """The average with a head solved from class moments; `enabled = false` is the average, bit for bit.

    head             "lda" linear discriminant, "ncm" the same with γ = 1 (nearest class mean), "ridge"
                     class-balanced ridge regression, "sgd" the averaged head re-taught on virtual features
    vector           "fresh": moments under the new average (one more exchange with the cohort);
                     "received": under what was sent, so the head lags one body behind
    transport        the kept moments are moved along with the body; needs "fresh". The move is measured
                     from the body they were measured under: where that is not what was sent (a round was
                     left out, starts differ) it goes down once more
    decay            λ of a class's kept moments when it is refreshed (without transport rather 0.5)
    scale            s, the factor of the centred head, which sets how confident clients start and how large
                     the body's steps are. "norm": the factor that gives the weight the norm `norm`; a
                     number: itself; "match": the ratio that gives it the norm of the averaged head;
                     "spread": the factor that gives the logits the root mean square `spread`. None for "sgd"
    norm             norm of the head's weight, in units of a newly drawn layer's, with scale = "norm"
    spread           root mean square of the head's logits over the moments, with scale = "spread"
    gamma            γ, shrinkage of the covariance towards the mean variance; up to 1 with few samples
    prior            π: class shares q_c ∝ p_c^π over the classes seen, p by `labels` of the kept counts:
                     the log-prior of the discriminants, the weights of "ridge", the labels drawn for
                     "sgd". 0 is uniform, whatever `labels`
    blend            share of the new head, the rest is the averaged one
    ridge            ρ of the "ridge" head
    transport_ridge  ρ of the map that transport fits, towards "nothing moved"
    weights          how groups are mixed per class: count, purity, softmax, uniform, or uniform-all, which
                     is here uniform, since a group without a class has no mean of it
    weights_gamma, weights_rho  exponents of "count": N_gc^γ · (N_gc/N_g)^ρ
    weights_power    exponent of "purity"
    weights_temperature  temperature of "softmax"
    labels           prior, tempered (by tau) or uniform; bears on the head only where `prior` > 0
    tau              exponent of "tempered"
    per_class        covariances per class for the features drawn by "sgd"; pooled where C·F² > 4·d
    enabled          false: the average is the expert, and nothing is asked
    min_class        a class with fewer samples (of a group that is asked for) is carried over, as if absent;
                     with lots: a class that fewer clients of a lot hold
    every            rounds between two measurements; in between, and whenever the door's answer is stale,
                     `stale` says what is done (worse than every round, by far under extreme skew)
    lot              moments are summed over standing lots of so many clients, and only of lots all of whose
                     members answered; 0: over whoever answered
    releases         > 0: instead of the cohort every round, all clients measure so many times in a run, evenly
                     spread, the last time after its last round
    stale            "keep": without new moments the head is made from the store as it stands; "skip": the
                     average is the expert
    bound_counts     a row (a client, or a lot with `lot`) counts no more samples than its members declared
    bound_norm       > 0: the moments of a row are cut to what features of at most this length can have
    consistent       a row whose second moments are less than its means alone give is left out
    robust           "mean": rows are summed; "median-of-means": class means and covariance are medians over rows
    guard            how much less than the head without this round's moments the new one may name right of what the
                     median row describes, as a share; else this round's moments are left out. 1: not looked at
    steps, lr        of "sgd", in batches of 100
    draws            virtual features for "sgd"
    """

    family: ClassVar[str] = "moments"

    head: str = "lda"
    vector: str = "fresh"
    transport: bool = True
    decay: float = 0.9
    scale: float | str = NORM  # a constant breaks the loop where clients are small, see docs/results.md
    spread: float = 1.0
    norm: float = 2.0
    gamma: float = 0.1  # 0.1 to 0.3 alike; the error is drift, not sampling
    prior: float = 0.0
    blend: float = 1.0
    ridge: float = 0.1
    transport_ridge: float = 0.01
    weights: str = "count"
    weights_gamma: float = 1.0
    weights_rho: float = 0.0
    weights_power: float = 1.0
    weights_temperature: float = 0.2
    labels: str = "prior"
    tau: float = 0.5
    per_class: bool = False
    enabled: bool = True
    min_class: int = 1
    every: int = 1
    lot: int = 0
    releases: int = 0
    stale: str = "keep"
    bound_counts: bool = False
    bound_norm: float = 0.0
    consistent: bool = False
    robust: str = "mean"
    guard: float = 1.0
    steps: int = 300
    lr: float = 0.05
    draws: int = 3000

    def __post_init__(self) -> None:
        ranges.name("expert.head", self.head, HEADS)
        ranges.name("expert.vector", self.vector, VECTORS)
        for key in ("transport", "per_class", "enabled", "bound_counts", "consistent"):
            ranges.switch(f"expert.{key}", getattr(self, key))
        for key in ("decay", "gamma", "blend"):
            ranges.number(f"expert.{key}", getattr(self, key), 0.0, 1.0)
        for key in ("ridge", "transport_ridge"):
            ranges.number(f"expert.{key}", getattr(self, key), 0.0)
        ranges.number("expert.prior", self.prior, 0.0, 10.0)  # beyond, shares underflow
        if isinstance(self.scale, str):
            ranges.name("expert.scale", self.scale, [MATCH, SPREAD, NORM])
        else:
            ranges.number("expert.scale", self.scale, 0.0, above=True)
        ranges.number("expert.spread", self.spread, 0.0, above=True)
        ranges.number("expert.norm", self.norm, 0.0, above=True)
        check_weights(self.weights, **self._weighting)
        ranges.name("expert.labels", self.labels, LABELS)
        check_labels(self.labels, tau=self.tau)
        ranges.whole("expert.min_class", self.min_class, 1)
        ranges.whole("expert.every", self.every, 1)
        ranges.whole("expert.lot", self.lot, 0)
        ranges.whole("expert.releases", self.releases, 0)
        ranges.name("expert.stale", self.stale, STALE)
        ranges.number("expert.bound_norm", self.bound_norm, 0.0)
        ranges.name("expert.robust", self.robust, ROBUST)
        ranges.number("expert.guard", self.guard, 0.0, 1.0)
        if self.releases and self.every > 1:
            raise UserError(
                f"expert.every has no effect where expert.releases says when all clients measure, got {self.every}",
                key="expert.every",
                found=self.every,
            )
        ranges.whole("expert.steps", self.steps, 0)
        ranges.number("expert.lr", self.lr, 0.0)
        ranges.whole("expert.draws", self.draws, 1)
        if self.transport and self.vector != "fresh":
            raise UserError(
                'expert.transport needs vector = "fresh", got vector = "received"; use transport = false',
                key="expert.transport",
                found=self.vector,
            )
        if self.per_class and self.head != "sgd":
            raise UserError(
                f'expert.per_class is for head = "sgd" only, got head = "{self.head}"',
                key="expert.per_class",
                found=self.head,
            )

        self._bearing.check(
            guarded=self.guard < 1.0, transport=self.transport, per_class=self.per_class, pooled=self.pooled
        )

    @property
    def _bearing(self) -> Bearing:
        return Bearing(self.bound_counts, self.bound_norm, self.consistent, self.robust != "mean")

    @property
    def _by_rows(self) -> bool:
        return self._bearing.on or self.guard < 1.0

    @property
    def _weighting(self) -> dict[str, float]:
        return {
            "gamma": self.weights_gamma,
            "rho": self.weights_rho,
            "power": self.weights_power,
            "temperature": self.weights_temperature,
        }

    @property
    def pooled(self) -> bool:
        """Whether the groups do not matter, so that one sum over the cohort is asked for."""
        return self.weights == "count" and self.weights_gamma == 1.0 and self.weights_rho == 0.0

    @property
    def sight(self) -> frozenset[Sight]:
        return frozenset({Sight.MOMENTS}) if self.enabled else NONE

    @property
    def serves(self) -> bool:
        return True

    def init(self, world: World, start: Vector) -> MomentStore:
        if not self.enabled:
            return store.empty(0, 0)
        layout = world.layout
        return store.empty(layout.classes, layout.features, per_class=self._per_class(layout))

    def _per_class(self, layout: Layout) -> bool:
        return self.per_class and layout.classes * layout.features**2 <= 4 * layout.d

    def head_scale(self, memory: MomentStore) -> float:
        return memory.scale

    def make(self, world: World, memory: MomentStore, making: Making) -> Made[MomentStore]:
        if not self.enabled:
            return Made(making.average, memory)
        return self._made(world, memory, making, ask=not self.releases and making.round % self.every == 0)

    def closing(self, world: World, round: int, average: Vector) -> Orders | None:
        """All clients, after every rounds / releases rounds."""
        due = {-(-world.rounds * at // self.releases) for at in range(1, self.releases + 1)} if self.releases else ()
        if not self.enabled or round not in due:
            return None
        return Closing.asked(world, round, average, Report(sight=self.sight))

    def close(self, world: World, memory: MomentStore, making: Making) -> Made[MomentStore]:
        return self._made(world, memory, making, ask=True)

    def _made(self, world: World, memory: MomentStore, making: Making, *, ask: bool) -> Made[MomentStore]:
        kept, rows, measured = self._measured(world, memory, making, ask=ask)
        made = self._of_store(world, kept, making, measured)
        if self.guard == 1.0:
            return made
        before = self._of_store(world, memory, making, measured + Info({"moments.refreshed": 0.0}))
        why = self._objection(world, making, before.expert, made.expert, rows) if rows else ""
        if not why:
            return replace(made, info=made.info + Info({"moments.guarded": 0.0}))
        note = f"round {making.round}: this round's moments are left out: {why}"
        return replace(before, info=before.info + Info({"moments.guarded": 1.0}, (note,)))

    def _of_store(self, world: World, kept: MomentStore, making: Making, measured: Info) -> Made[MomentStore]:
        """The expert that a store makes, or the average where the store does not say anything new."""
        early = bool(self.releases) and not kept.seen.any()  # nothing was released yet
        if (early or self.stale == "skip") and not measured.values["moments.refreshed"]:
            return Made(making.average, replace(kept, scale=1.0), measured)
        expert, scale, fit = self._expert(world, kept, making)
        return Made(expert, replace(kept, scale=scale), measured + fit)

    def _objection(
        self, world: World, making: Making, before: Vector | None, after: Vector | None, rows: tuple[Row, ...]
    ) -> str:
        assert before is not None and after is not None
        rng, layout = world.streams("expert-guard", making.round), world.layout
        return guard.objection(self.guard, layout.head(before), layout.head(after), rows, rng, positive=layout.positive)

    # -- the store ---------------------------------------------------------------------------------

    def _measured(
        self, world: World, memory: MomentStore, making: Making, *, ask: bool
    ) -> tuple[MomentStore, tuple[Row, ...], Info]:
        """The store after this round's answer (`seconds_moments`), moved along with the body, then refreshed; the rows
        of the answer where they are looked at.
        """
        layout = world.layout
        known = bool(memory.seen.any())
        kept, answer, note, heard, began = memory, None, "", Heard(), time.perf_counter()
        if ask:
            answer, note, heard = self._answer(world, memory, making)
        steps: dict[str, float] = {"moments.refreshed": float(answer is not None)}
        if self._by_rows:
            steps |= {"moments.left_out": float(len(heard.wrong)), "moments.norm": heard.norm}
        steps["seconds_moments"] = time.perf_counter() - began
        steps["moments.samples"] = 0.0 if answer is None else float(answer.counts.sum())
        steps["moments.drift"] = steps["moments.transport_skipped"] = 0.0
        if self.transport and known:
            affine = None if answer is None else self._drift(answer)
            if affine is None:
                steps["moments.transport_skipped"] = 1.0
            else:
                still = np.eye(*affine.shape)
                steps["moments.drift"] = float(np.linalg.norm(affine - still) / np.linalg.norm(still))
                kept = store.moved(kept, affine, positive=layout.positive)
        if answer is not None:
            kept = replace(kept, under=frozen(making.average)) if self.transport else kept
            new = store.measured(
                answer,
                self.weights,
                self._weighting,
                floor=1 if self.lot else self.min_class,  # of lots, the door has kept it
                per_class=self._per_class(layout),
            )
            kept = store.refreshed(kept, new, self.decay)
        notes = [note] if note else []
        if self.per_class and not known and not self._per_class(layout):
            notes.append("covariances per class would be larger than four models; one pooled covariance is used")
        return kept, heard.rows, Info(steps, tuple(f"round {making.round}: {text}" for text in notes))

    def _answer(self, world: World, memory: MomentStore, making: Making) -> tuple[Moments | None, str, Heard]:
        """This round's moments, or None; what is to be said; and the rows, where they are looked at."""
        layout = world.layout
        if self._by_rows:
            return self._borne(world, memory, making)
        fresh = self.vector == "fresh"
        answer = making.uploads.moments(
            Groups.one(making.uploads.ids) if self.pooled else making.groups,
            under=making.average if fresh else None,
            against=self._against(layout, memory, making) if self.transport else None,
            per_class=self._per_class(layout),
        )
        if answer.stale:
            return None, STALE_NOTE, Heard()
        store.check(answer, layout.classes, layout.features)
        if not store.finite(answer):
            return None, "the moments hold numbers that are not finite, they are left out", Heard()
        if not answer.counts.any():
            return None, "the moments hold no sample", Heard()
        return answer, "", Heard()

    def _borne(self, world: World, memory: MomentStore, making: Making) -> tuple[Moments | None, str, Heard]:
        """`_answer` row by row, so that one row's lies stay within bounds."""
        layout, rows = world.layout, making.uploads.finest()
        answer = making.uploads.moments(
            rows,
            under=making.average if self.vector == "fresh" else None,
            against=self._against(layout, memory, making) if self.transport else None,
        )
        if answer.stale:
            return None, STALE_NOTE, Heard()
        store.check(answer, layout.classes, layout.features)
        sizes = declared(world.census)
        of_rows = [sum(sizes[client] for client in rows.members(number).tolist()) for number in rows.numbers.tolist()]
        heard = self._bearing.heard(answer, np.array(of_rows, np.float64))
        return heard.moments, said(heard.wrong, rows) or ("" if heard.rows else "the moments hold no sample"), heard

    def _against(self, layout: Layout, memory: MomentStore, making: Making) -> Vector | None:
        """The vector that the store was measured under: what was sent, where its body is the same.

        After a round without an answer, or where clients start apart, it is another one, and is sent down.
        """
        if not memory.seen.any():
            return None
        if making.sent is not None:
            body = ~layout.mask(Part(HEAD.patterns, "any"))
            if np.array_equal(making.sent[body], memory.under[body]):
                return making.sent
        return memory.under

    def _drift(self, answer: Moments) -> Float64 | None:
        """The map from the features before the round to those after it, where it was measured."""
        if answer.cross_xx is None or answer.cross_xy is None:
            return None
        return store.drift(answer.cross_xx, answer.cross_xy, self.transport_ridge)

    # -- the head ----------------------------------------------------------------------------------

    def _expert(self, world: World, kept: MomentStore, making: Making) -> tuple[Vector, float, Info]:
        """The expert, the factor of its head, and what to say; the average where no head can be made."""
        layout, seen = world.layout, kept.seen
        values = {"moments.classes": float(seen.sum()), "moments.gamma": 1.0, "moments.scale": 1.0}
        expert: Vector | None = None
        if self.blend == 0.0 or not seen.any():
            why = "no class was seen yet" if self.blend else ""
        else:
            shares = label_shares(self.labels, kept.counts[None, seen], tau=self.tau) ** self.prior
            made = fitted(
                self._recipe,
                kept,
                shares / shares.sum(),
                averaged_head(layout, making.average, seen),
                world.streams("expert-head", making.round),
                positive=layout.positive,
            )
            if isinstance(made, str):
                why = made
            else:
                expert = placed(layout, making.average, made.head, seen, self.blend)
                why = "" if expert is not None else "the head is not finite"
                if expert is not None:
                    values |= {"moments.gamma": made.gamma, "moments.scale": made.scale}
        values["moments.head_kept"] = float(expert is None)
        note = (f"round {making.round}: {why}; the averaged head is kept",) if why else ()
        if expert is None:
            return making.average, 1.0, Info(values, note)
        return expert, values["moments.scale"], Info(values, note)

    @property
    def _recipe(self) -> Recipe:
        teaching = Teaching(self.steps, self.lr)
        return Recipe(self.head, self.gamma, self.ridge, self.scale, self.spread, self.norm, self.draws, teaching)
