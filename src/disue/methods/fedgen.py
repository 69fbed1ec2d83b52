"""FedGen (Zhu, Hong, Zhou, ICML 2021, arXiv 2105.10056), Algorithm 1.

    θ_k ← θ − β ∇(J(θ) + regularisers) ....................... local = Generative(a, b): the head on features of G, and
                                                              inputs told what the head says of features of their label
    θ ← Σ_k p_k θ_k ......................................... grouping = OneGroup(), aggregate = Consensus: Mean's
    p̂(y) from the clients' label counts ..................... Consensus: uniform over the labels that somebody holds
    w ← w − α ∇ E_y E_z Σ_k α_{k,y} CE(σ(head_k(G(z, y))), y)  Consensus: Adam, and the diversity of what is made
    broadcast θ, w, p̂ ....................................... Consensus.down

With `form = "groups"` the heads are those of the groups' models, so that no single client is looked at. α_{k,y} ∝
n_{k,y} are the counts themselves; the authors' code starts them at 1 and adds every batch. A client draws the noise of
a round once, `draws` for each class, and takes means over it at every step, where the code draws anew: the same
expectation with less noise. Both regularisers hold in every local epoch (there: in the first twenty). G's optimiser
begins anew every round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from disue.core.checks import Array, Float64, Vector
from disue.core.clients import Local
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import Info, Merged, View
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.aggregate.mean import Momentum
from disue.parts.expert import NoExpert, ranges
from disue.parts.expert import losses as terms
from disue.parts.expert.distil import Tally, one_thread
from disue.parts.expert.steppers import Adam
from disue.parts.expert.weights import group_weights
from disue.parts.grouping import OneGroup
from disue.parts.local import Generative
from disue.parts.local.generative import ASKED, GENERATOR, SHAPE
from disue.parts.local.latents import Latents
from disue.parts.start import FromGroup

FORMS = ("clients", "groups")


@dataclass(frozen=True, eq=False)
class Agreed:
    """Mean's memory; the generator's weights (p,); shares (C,) of the labels, zero before it has seen clients."""

    mean: Momentum
    weights: Vector
    shares: Vector


@dataclass(frozen=True)
class Consensus:
    """The mean, and a generator of features on which the clients' heads agree about the label; it goes to all clients.

    form           whose heads: "clients", each by itself, or "groups"
    steps          steps of the generator's Adam in a round; 0: none is made, and nothing is sent
    batch          features a step
    noise, hidden  widths of the generator
    lr             learning rate of its Adam
    lr_decay       learning rate times lr_decay^round
    weight_decay   of the generator
    diversity      weight of the distance between what different noises make
    """

    form: str = "clients"
    steps: int = 50
    batch: int = 32
    noise: int = 32
    hidden: int = 128
    lr: float = 3e-4
    lr_decay: float = 0.98
    weight_decay: float = 1e-2
    diversity: float = 1.0
    weights: ClassVar[str] = "samples"
    mean: ClassVar[Mean] = Mean()

    def __post_init__(self) -> None:
        ranges.name("aggregate.form", self.form, FORMS)
        for key, low in {"steps": 0, "batch": 2, "noise": 1, "hidden": 1}.items():
            ranges.whole(f"aggregate.{key}", getattr(self, key), low)
        for key in ("lr", "weight_decay", "diversity"):
            ranges.number(f"aggregate.{key}", getattr(self, key), 0.0)
        ranges.number("aggregate.lr_decay", self.lr_decay, 0.0, 1.0, above=True)

    @property
    def sight(self) -> frozenset[Sight]:
        asked = {Sight.LABELS} | ({Sight.VECTORS} if self.form == "clients" else set())
        return frozenset({Sight.SUMS} | (asked if self.steps else set()))

    def _latents(self, world: World) -> Latents:
        return Latents(self.noise, self.hidden, world.layout.classes, world.layout.features)

    def init(self, world: World, start: Vector, groups: Groups) -> Agreed:
        fresh = self._latents(world).drawn(world.streams("generator"))
        return Agreed(self.mean.init(world, start, groups), fresh, np.zeros(world.layout.classes, np.float32))

    def down(self, memory: Agreed) -> Mapping[str, Array]:
        if not memory.shares.any():
            return {}
        shape = np.array([self.noise, self.hidden], np.int64)
        return {GENERATOR: memory.weights, SHAPE: shape, ASKED: memory.shares}

    def merge(
        self,
        world: World,
        memory: Agreed,
        before: View,
        groups: Groups,
        orders: Orders,
        uploads: Uploads,
        *,
        common: bool,
    ) -> Merged[Agreed]:
        merged = self.mean.merge(world, memory.mean, before, groups, orders, uploads, common=common)
        if not self.steps:
            kept = Agreed(merged.memory, memory.weights, memory.shares)
            return Merged(merged.models, merged.average, kept, merged.info)
        models, heard = merged.models, groups.among(uploads.ids)
        if self.form == "clients":
            models, heard = self._ends(orders, uploads), Groups.alone(uploads.ids)
        counts = uploads.labels(heard)
        speaks = (counts.sum(axis=1) > 0) & np.isfinite(models).all(axis=1)
        shares = (counts[speaks].sum(axis=0) > 0).astype(np.float64)
        if not shares.any():
            kept = Agreed(merged.memory, memory.weights, memory.shares)
            return Merged(merged.models, merged.average, kept, merged.info)
        shares /= shares.sum()
        heads = [world.layout.head(model) for model in models[speaks]]
        with one_thread():
            taught = _Taught(self, self._latents(world), memory.weights, heads, group_weights("count", counts[speaks]))
            tally = taught.run(shares, world, before.round)
        kept = Agreed(merged.memory, taught.vector(), shares.astype(np.float32))
        said = {name.replace("dphase", "fedgen"): value for name, value in tally.values().items()}
        return Merged(merged.models, merged.average, kept, merged.info + Info({**said, "fedgen.heads": len(heads)}))

    def _ends(self, orders: Orders, uploads: Uploads) -> Array:
        """(n, d) the end of every client that answered."""
        if orders.origin is None:
            raise UserError(
                'fedgen: clients\' own heads are known where all start from one model; take form = "groups"',
                key="aggregate.form",
                found=self.form,
            )
        return np.asarray(orders.origin + uploads.vectors(), np.float32)


class _Taught:
    """The generator in a round's training. heads: (weight, bias) of k models; alpha (k, C)."""

    def __init__(
        self, rules: Consensus, latents: Latents, weights: Vector, heads: list[tuple[Array, Array]], alpha: Float64
    ) -> None:
        import torch

        self.rules, self.latents = rules, latents
        self.at = torch.from_numpy(np.array(weights))
        self.weight = torch.from_numpy(np.stack([weight for weight, _ in heads]))
        self.bias = torch.from_numpy(np.stack([bias for _, bias in heads]))
        self.alpha = torch.from_numpy(alpha.astype(np.float32))

    def vector(self) -> Vector:
        return np.array(self.at.numpy(), np.float32)

    def run(self, shares: Float64, world: World, round: int) -> Tally:
        """All steps: Adam on Σ_k mean_b α_{k,y_b} CE(head_k(G(z_b, y_b)), y_b) + diversity · L_div."""
        import torch

        rules, tally, adam = self.rules, Tally(), Adam()
        rng, rate = world.streams("consensus", round), rules.lr * rules.lr_decay**round
        for _ in range(rules.steps):
            y = torch.from_numpy(rng.choice(shares.size, rules.batch, p=shares))
            z = torch.from_numpy(rng.standard_normal((rules.batch, rules.noise), np.float32))
            weights = self.at.detach().requires_grad_()
            made = self.latents(weights, z, y)
            logits = made @ self.weight.transpose(1, 2) + self.bias[:, None, :]
            asked = terms.fidelity("each", logits, None, y, self.alpha[:, y])
            spread = terms.diversity(made, z)
            (slope,) = torch.autograd.grad(asked + rules.diversity * spread, weights)
            change = adam.propose(slope + rules.weight_decay * self.at)
            if tally.accept(asked.detach(), change):
                adam.keep()
                self.at = self.at - rate * change
                tally.say(fidelity=asked, diversity=spread)
            if tally.over:
                break
        return tally


def fedgen(local: Local = Generative(), form: str = "clients", steps: int = 50) -> Composed[Any, Any, Any]:
    """One model for everybody, regularised at the clients by a generator of features on which their heads agree.

    form   whose heads: "clients", each by itself, or "groups" (under a grouping of your own)
    steps  steps of the generator in a round; 0: none is made
    """
    return Composed(FromGroup(), local, OneGroup(), Consensus(form, steps), NoExpert())
