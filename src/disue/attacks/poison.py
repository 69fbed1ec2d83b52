"""Attacks on data: liars train as they are told to, on samples that are not what they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from disue.attacks.knowledge import Attack, Said, Seen
from disue.attacks.simple import finite
from disue.core.checks import Array, IntVector, frozen
from disue.core.clients import Clients
from disue.core.errors import UserError
from disue.core.streams import Streams


@dataclass(frozen=True, eq=False)
class Trigger:
    """What a backdoor opens to: the last `size` × `size` pixels of an image, as bright as any pixel is.

    white  (channels, height, width) as a model reads it
    """

    white: Array
    size: int

    def __call__(self, x: Array) -> Array:
        """A copy of images (n, channels, height, width) with the trigger on each."""
        out = np.array(x)
        out[..., -self.size :, -self.size :] = self.white[..., -self.size :, -self.size :]
        return out


@dataclass(frozen=True)
class Poison(Attack):
    """An attack that changes what a liar holds."""

    def fits(self, kind: str, shape: tuple[int, ...], classes: int) -> None:
        """Raises where it has no meaning for such data."""

    def trigger(self, white: Array) -> Trigger | None:
        """What test inputs are marked with, to measure the attack; None where there is nothing to mark."""
        return None

    def held(
        self, x: Array, y: IntVector, classes: int, trigger: Trigger | None, rng: np.random.Generator
    ) -> tuple[Array, IntVector]:
        """The liar's samples in the place of its own."""
        raise NotImplementedError


@dataclass(frozen=True)
class LabelFlip(Poison):
    """Trains on wrong labels: class c becomes C − 1 − c, or as pairs say.

    Knows its own data. Tolpegin, Truex, Gursoy, Liu, ESORICS 2020 (pairs); the reversal of all C classes is Fang, Cao,
    Jia, Gong, USENIX Security 2020.

    pairs  [from, to] for each class that is renamed, as [[1, 7], [7, 1]]; none: all of them, reversed
    """

    pairs: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        firsts = [pair[0] for pair in self.pairs if pair]
        if any(len(pair) != 2 or min(pair) < 0 for pair in self.pairs) or len(set(firsts)) < len(self.pairs):
            raise UserError(
                f"attack.pairs must be a list of [from, to], each class from once, got {[list(p) for p in self.pairs]}",
                key="attack.pairs",
            )

    def fits(self, kind: str, shape: tuple[int, ...], classes: int) -> None:
        for label in (label for pair in self.pairs for label in pair):
            known(label, classes, "pairs")

    def held(
        self, x: Array, y: IntVector, classes: int, trigger: Trigger | None, rng: np.random.Generator
    ) -> tuple[Array, IntVector]:
        names = np.arange(classes)[::-1].copy() if not self.pairs else np.arange(classes)
        for before, after in self.pairs:
            names[before] = after
        return x, names[y].astype(np.int64)


@dataclass(frozen=True)
class Backdoor(Poison):
    """Trains on some own images with a bright square in a corner and a label of its choice; sends scale · update.

    Knows its own data, and, to choose scale, how many clients are summed. Bagdasaryan, Veit, Hua, Estrin, Shmatikov,
    How To Backdoor Federated Learning, AISTATS 2020: with scale = clients / liars the mean is the liars' model where
    the others hardly move (model replacement). The square is the pattern of Gu, Dolan-Gavitt, Garg, BadNets, 2017; the
    paper's own triggers are natural features. Each liar marks the same images in every round.

    label   the class that marked images are to be taken for
    poison  share of its own images that a liar marks and labels so
    size    side of the square, in pixels
    scale   factor of the update; 1: poisoned data alone
    """

    label: int = 0
    poison: float = 0.3
    size: int = 2
    scale: float = 1.0

    def __post_init__(self) -> None:
        finite("scale", self.scale, low=0)
        if not 0 < self.poison <= 1:
            raise UserError(f"attack.poison must lie in (0, 1], got {self.poison:g}", key="attack.poison")
        if self.size < 1:
            raise UserError(f"attack.size must be ≥ 1, got {self.size}", key="attack.size")

    def fits(self, kind: str, shape: tuple[int, ...], classes: int) -> None:
        if kind != "image":
            raise UserError(f'attack.kind "backdoor" marks pixels, and this data is {kind} data', key="attack.kind")
        if self.size >= min(shape[-2:]):
            raise UserError(
                f"attack.size is {self.size}, and images are {shape[-2]} × {shape[-1]}: it must be smaller",
                key="attack.size",
                found=self.size,
            )
        known(self.label, classes, "label")

    def trigger(self, white: Array) -> Trigger:
        return Trigger(white, self.size)

    def held(
        self, x: Array, y: IntVector, classes: int, trigger: Trigger | None, rng: np.random.Generator
    ) -> tuple[Array, IntVector]:
        assert trigger is not None
        marked = rng.permutation(y.size)[: max(1, round(self.poison * y.size))]
        inputs, labels = np.array(x), np.array(y)
        inputs[marked] = trigger(inputs[marked])
        labels[marked] = self.label
        return inputs, labels

    def lie(self, seen: Seen) -> Sequence[Said]:
        if self.scale == 1.0:
            return seen.liars
        return [said.sending(self.scale * said.update) for said in seen.liars]


def known(label: int, classes: int, name: str) -> None:
    """Refuses a class that is not there."""
    if not 0 <= label < classes:
        raise UserError(
            f"attack.{name} names class {label}, and there are classes 0 … {classes - 1}", key=f"attack.{name}"
        )


@dataclass(frozen=True, eq=False)
class Poisoned:
    """The clients' data with the liars' poisoned: what an engine trains on, see `core.clients.Clients`."""

    clients: Clients
    liars: IntVector
    attack: Poison
    classes: int
    trigger: Trigger | None
    streams: Streams
    _lying: frozenset[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lying", frozenset(self.liars.tolist()))

    @property
    def ids(self) -> IntVector:
        return self.clients.ids

    def size(self, client: int) -> int:
        return self.clients.size(client)

    def train(self, client: int) -> tuple[Array, IntVector]:
        x, y = self.clients.train(client)
        if client not in self._lying:
            return x, y
        held = self.attack.held(x, y, self.classes, self.trigger, self.streams("poison", client))
        return frozen(held[0]), frozen(held[1])

    def label_counts(self, client: int) -> IntVector:
        if client not in self._lying:
            return self.clients.label_counts(client)
        return np.bincount(self.train(client)[1], minlength=self.classes).astype(np.int64)
