"""Attacks on updates by liars who know several: one update, made from a mean and a deviation, sent by all of them.

What the mean is over is the key `knowledge`: the liars' own honest updates, or those of all honest clients; always of
those who trained from the same vector, as updates from different starts have no mean that anybody adds up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from disue.attacks.knowledge import ALL, LIARS, Attack, Said, Seen, norm, updates
from disue.attacks.simple import finite
from disue.core.checks import Float64
from disue.core.errors import unknown

DEVIATIONS = ("unit", "std", "sign")


@dataclass(frozen=True)
class Crafted(Attack):
    """One update for all liars.

    knowledge  liars: the means and deviations are of the liars' own honest updates; all: of the honest clients'
    """

    knowledge: str = LIARS

    def __post_init__(self) -> None:
        if self.knowledge not in (LIARS, ALL):
            raise unknown("attack.knowledge", self.knowledge, (LIARS, ALL))

    def lie(self, seen: Seen) -> Sequence[Said]:
        known = seen.honest if self.sight() == ALL else seen.liars
        if not known:
            return seen.liars
        update = self.crafted(updates(known), seen.asked, len(seen.liars))
        return [said.sending(update) for said in seen.liars]

    def crafted(self, known: Float64, n: int, m: int) -> Float64:
        """The update made of those known (r, d), where m of n clients lie."""
        raise NotImplementedError


@dataclass(frozen=True)
class Alie(Crafted):
    """A little is enough: mean − z · deviation in each entry, the deviation within which honest clients hide it.

    Knows the updates of all liars and how many clients there are, n, of whom m lie. Baruch, Baruch, Goldberg, NeurIPS
    2019, Algorithm 3: s = ⌊n/2 + 1⌋ − m honest clients must lie beyond it, z = max z : Φ(z) < (n − m − s) / (n − m).
    A single liar has no deviation to use, and tells the truth.

    z  how many deviations; 0: the largest that the paper's formula allows
    """

    z: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        finite("z", self.z, low=0)

    def crafted(self, known: Float64, n: int, m: int) -> Float64:
        z = self.z or z_of(n, m)
        out: Float64 = known.mean(axis=0) - z * known.std(axis=0)
        return out


def z_of(n: int, m: int) -> float:
    """The paper's z, never below 0. Where liars are the majority no supporter is needed; one is asked for anyway."""
    honest = n - m
    if honest < 2:
        return 0.0
    supporters = max(n // 2 + 1 - m, 1)
    beyond = (honest - supporters) / honest
    return max(NormalDist().inv_cdf(beyond), 0.0) if beyond > 0 else 0.0


@dataclass(frozen=True)
class Ipm(Crafted):
    """Inner product manipulation: −epsilon · mean, so that the sum points away from where honest clients go.

    Knows the honest clients' updates. Xie, Koyejo, Gupta, Fall of Empires, UAI 2019: a small epsilon stays within the
    spread of honest updates and passes distance checks, a large one overturns a mean.

    epsilon  how many times as long as the mean
    """

    knowledge: str = ALL
    epsilon: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        finite("epsilon", self.epsilon, low=0)

    def crafted(self, known: Float64, n: int, m: int) -> Float64:
        out: Float64 = -self.epsilon * known.mean(axis=0)
        return out


@dataclass(frozen=True)
class Bounded(Crafted):
    """mean + γ · p with the largest γ that keeps it among the known updates.

    deviation  p: unit (−mean / ‖mean‖), std (−deviation of each entry) or sign (−sign of the mean)
    """

    deviation: str = "std"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.deviation not in DEVIATIONS:
            raise unknown("attack.deviation", self.deviation, DEVIATIONS)

    def crafted(self, known: Float64, n: int, m: int) -> Float64:
        mean: Float64 = known.mean(axis=0)
        way: Float64 = -mean / max(norm(mean), np.finfo(np.float64).tiny)
        if self.deviation == "std":
            way = -known.std(axis=0)
        elif self.deviation == "sign":
            way = -np.sign(mean)
        square = float(way @ way)
        if not square > 0:
            return mean
        apart = mean[None, :] - known
        gamma = self.furthest(square, apart @ way, (apart * apart).sum(axis=1), _squares(known))
        out: Float64 = mean + gamma * way
        return out

    def furthest(self, square: float, along: Float64, own: Float64, pairs: Float64) -> float:
        """γ from ‖p‖², (r,) of (mean − u_i)·p, (r,) of ‖mean − u_i‖², and (r, r) of ‖u_i − u_j‖²."""
        raise NotImplementedError


@dataclass(frozen=True)
class MinMax(Bounded):
    """Min-max: no further from any known update than two of these are from each other.

    Knows what `knowledge` says. Shejwalkar, Houmansadr, Manipulating the Byzantine, NDSS 2021: the largest γ with
    max_i ‖mean + γ p − u_i‖ ≤ max_ij ‖u_i − u_j‖. Each bound is a quadratic in γ, so γ is worked out, where public
    code halves steps until they are short.
    """

    def furthest(self, square: float, along: Float64, own: Float64, pairs: Float64) -> float:
        return min(_root(square, float(a), float(o), float(pairs.max())) for a, o in zip(along, own, strict=True))


@dataclass(frozen=True)
class MinSum(Bounded):
    """Min-sum: the squared distances to the known updates sum up to no more than those of one of these.

    Knows what `knowledge` says. Shejwalkar, Houmansadr, Manipulating the Byzantine, NDSS 2021: the largest γ with
    Σ_i ‖mean + γ p − u_i‖² ≤ max_i Σ_j ‖u_i − u_j‖². (Public code bounds it by the least of these sums.)
    """

    def furthest(self, square: float, along: Float64, own: Float64, pairs: Float64) -> float:
        bound = float(pairs.sum(axis=1).max())
        return _root(square * own.size, float(along.sum()), float(own.sum()), bound)


def _root(square: float, along: float, own: float, bound: float) -> float:
    """The largest γ ≥ 0 with γ² square + 2 γ along + own ≤ bound; 0 where rounding leaves none."""
    return max((-along + math.sqrt(max(along**2 - square * (own - bound), 0.0))) / square, 0.0)


def _squares(known: Float64) -> Float64:
    inner = known @ known.T
    own = np.diag(inner)
    out: Float64 = np.maximum(own[:, None] + own[None, :] - 2 * inner, 0.0)
    return out


__all__ = ["Alie", "Ipm", "MinMax", "MinSum", "z_of"]
