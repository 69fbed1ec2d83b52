"""Attacks on updates by a client that knows nothing but its own answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from disue.attacks.knowledge import Attack, Said, Seen, norm
from disue.core.errors import UserError


def finite(name: str, value: float, low: float | None = None, above: float | None = None) -> None:
    """Refuses a key of an attack out of its range."""
    bad = (low is not None and value < low) or (above is not None and value <= above) or not np.isfinite(value)
    if bad:
        words = f"a number ≥ {low:g}" if low is not None else "a finite number" if above is None else f"> {above:g}"
        raise UserError(f"attack.{name} must be {words}, got {value:g}", key=f"attack.{name}", found=value)


@dataclass(frozen=True)
class SignFlip(Attack):
    """Sends its update backwards: −scale · update.

    Knows its own update. Li, Xu, Chen, Giannakis, Ling, RSA, AAAI 2019 (sign-flipping attack).

    scale  how many times as long it is
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        finite("scale", self.scale, low=0)

    def lie(self, seen: Seen) -> Sequence[Said]:
        return [said.sending(-self.scale * said.update) for said in seen.liars]


@dataclass(frozen=True)
class Scaling(Attack):
    """Sends its update scaled: scale · update.

    Knows its own update. With scale = clients / its weight it replaces the mean by its own end (see `backdoor`).

    scale  the factor; below 0 it is a sign flip
    """

    scale: float = 10.0

    def __post_init__(self) -> None:
        finite("scale", self.scale)

    def lie(self, seen: Seen) -> Sequence[Said]:
        return [said.sending(self.scale * said.update) for said in seen.liars]


@dataclass(frozen=True)
class Noise(Attack):
    """Adds Gaussian noise to its update, of a length given in lengths of that update.

    Knows its own update. Its noise has deviation scale · ‖update‖ / √d in each of the d trained entries, so that its
    length is about scale · ‖update‖ whatever the model.

    scale  length of the noise, in lengths of the update
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        finite("scale", self.scale, low=0)

    def lie(self, seen: Seen) -> Sequence[Said]:
        out = []
        for said in seen.liars:
            update = said.update
            deviation = self.scale * norm(update) / np.sqrt(max(int(said.moves.sum()), 1))
            out.append(said.sending(update + deviation * seen.rng.standard_normal(update.size)))
        return out


@dataclass(frozen=True)
class FreeRider(Attack):
    """Sends the model that it was sent, with noise on it or as it is, and trains nothing.

    Knows what it was sent: no data, so its own update is not used. Fraboni, Vidal, Lorenzi, AISTATS 2021 (plain, and
    disguised by additive noise; their noise shrinks over the rounds, this one does not). The simulator trains it all
    the same, for the same costs in every run.

    sigma  deviation of the noise in each entry; 0: the plain free rider
    """

    sigma: float = 0.0

    def __post_init__(self) -> None:
        finite("sigma", self.sigma, low=0)

    def lie(self, seen: Seen) -> Sequence[Said]:
        return [said.sending(self.sigma * seen.rng.standard_normal(said.moves.size)) for said in seen.liars]
