"""From the store to a head, and the head onto the average: shrinkage, scale, centring, blend."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from disue.core.checks import Float64, Mask, Vector
from disue.core.layout import Layout
from disue.parts.expert import heads
from disue.parts.expert.heads import Head, Teaching
from disue.parts.expert.labels import draw
from disue.parts.expert.store import MomentStore

CALIBRATION = 2000  # virtual features for the one factor of the ridge head
MATCH, SPREAD, NORM = "match", "spread", "norm"


@dataclass(frozen=True)
class Recipe:
    """How a head is made; the arguments of `MomentsDistil` that bear on it."""

    head: str
    gamma: float
    ridge: float
    scale: float | str
    spread: float
    norm: float
    draws: int
    teaching: Teaching


@dataclass(frozen=True, eq=False)
class Fitted:
    """A centred head for the k classes seen, the factor it was multiplied by, and the shrinkage used."""

    head: Head
    scale: float
    gamma: float


def fitted(
    recipe: Recipe,
    kept: MomentStore,
    shares: Float64,
    before: Head,
    rng: np.random.Generator,
    *,
    positive: bool,
) -> Fitted | str:
    """The head of the classes seen, or a sentence why there is none.

    shares  (k,) of the classes seen     before  their rows of the averaged head
    """
    means = kept.means[kept.seen]
    if means.shape[0] < 2:
        return f"{means.shape[0]} class seen so far, a head needs two"
    wanted = 1.0 if recipe.head == "ncm" else recipe.gamma
    gamma = heads.shrinkage(wanted, kept.freedom, means.shape[1])
    sigma = heads.covariance(kept.scatter, kept.freedom, gamma)
    if sigma is None:
        return "the stored moments hold no scatter within classes"
    made: Head | None
    if recipe.head == "sgd":
        made = _taught(recipe, kept, means, sigma, shares, before, rng, positive)
    elif recipe.head == "ridge":
        made = _ridge(recipe, kept, means, sigma, shares, rng, positive)
    else:
        made = heads.discriminant(means, sigma, shares)
    if made is None:
        return "the covariance of the features cannot be factored"
    made = made.centred()
    if recipe.head == "sgd":
        scale = 1.0
    elif recipe.scale == SPREAD:
        scale = spread(recipe.spread, made, means, sigma, shares)
    elif recipe.scale == NORM:
        scale = norm(recipe.norm, made)
    else:
        scale = factor(recipe.scale, made, before)
    return Fitted(made.times(scale), scale, gamma)


def norm(wanted: float, made: Head) -> float:
    """The factor that gives the centred weight `wanted` times the norm of a newly drawn layer, √(k / 3).

    A gradient reaches the body multiplied by the head's weight. A discriminant's weight grows as features
    shrink, so that the body's steps grow without bound; a weight of constant norm keeps them what they are
    under an ordinary head, and leaves it to the features to grow. (torch draws a linear layer of F inputs
    uniformly from ±1/√F: k rows of it have the norm √(k / 3).)
    """
    level = float(np.linalg.norm(made.weight))
    ratio = wanted * math.sqrt(made.weight.shape[0] / 3) / level if level > 0 else 1.0
    return ratio if math.isfinite(ratio) else 1.0


def spread(wanted: float, made: Head, means: Float64, sigma: Float64, shares: Float64) -> float:
    """The factor that gives the centred logits the root mean square `wanted` over the moments' own features.

    mean over c of  w_cᵀ (Σ + Σ_k q_k (μ_k − μ̄)(μ_k − μ̄)ᵀ) w_c + (w_cᵀ μ̄ + b_c)². A discriminant's logits
    grow with the distances between classes, without bound as training separates them; this bounds how
    confident clients start, whatever the body.
    """
    centre = shares @ means
    between = (means - centre).T @ (shares[:, None] * (means - centre))
    square = np.einsum("cf,fg,cg->c", made.weight, sigma + between, made.weight).mean()
    level = math.sqrt(float(square + (made.logits(centre) ** 2).mean()))
    ratio = wanted / level if level > 0 else 1.0
    return ratio if math.isfinite(ratio) else 1.0


def factor(scale: float | str, made: Head, before: Head) -> float:
    """`scale`, or for "match" the ratio of the norms of the averaged head and of the new one, both centred.

    Where either norm is no positive number "match" is 1: there is nothing to match.
    """
    if not isinstance(scale, str):
        return float(scale)
    old, new = before.centred().norm(), made.norm()
    ratio = old / new if new > 0 else 0.0
    return ratio if math.isfinite(ratio) and ratio > 0 else 1.0


def _taught(
    recipe: Recipe,
    kept: MomentStore,
    means: Float64,
    sigma: Float64,
    shares: Float64,
    before: Head,
    rng: np.random.Generator,
    positive: bool,
) -> Head | None:
    """The averaged head, taught on virtual features of the classes seen.

    With second moments per class each class has half its own covariance and half the pooled one.
    """
    covariances = [sigma]
    if kept.own.size:
        own, freedom = kept.own[kept.seen], kept.own_freedom[kept.seen]
        covariances = [
            sigma if many <= 0 else (sigma + heads.symmetric(scatter) / many) / 2
            for scatter, many in zip(own, freedom.tolist(), strict=True)
        ]
    roots = [root for root in map(heads.cholesky, covariances) if root is not None]
    if len(roots) < len(covariances):
        return None
    labels = draw(shares, recipe.draws, rng)
    features = heads.virtual(means, roots, labels, rng, positive=positive)
    return heads.taught(before, features, labels, recipe.teaching, rng)


def _ridge(
    recipe: Recipe,
    kept: MomentStore,
    means: Float64,
    sigma: Float64,
    shares: Float64,
    rng: np.random.Generator,
    positive: bool,
) -> Head | None:
    """The ridge head times the one factor that fits it to virtual features: its outputs are no logits."""
    made = heads.ridge(means, kept.scatter / kept.freedom, shares, recipe.ridge)
    root = heads.cholesky(sigma)
    if made is None or root is None:
        return None
    labels = draw(shares, CALIBRATION, rng)
    features = heads.virtual(means, [root], labels, rng, positive=positive)
    return made.times(heads.confidence(made.logits(features), labels))


def averaged_head(layout: Layout, average: Vector, seen: Mask) -> Head:
    """The rows of the average's head that belong to the classes seen, in float64."""
    weight, bias = layout.head(average)
    return Head(weight[seen].astype(np.float64), bias[seen].astype(np.float64))


def placed(layout: Layout, average: Vector, head: Head, seen: Mask, blend: float) -> Vector | None:
    """The average with `head` in the columns of the classes seen; None where that is not finite.

    A class never seen keeps its column as it is. The others then keep their mean over classes too, since
    what such a column says against them is relative to it; with all classes seen the mean is zero.
    """
    before = averaged_head(layout, average, seen)
    weight, bias = head.weight, head.bias
    if not seen.all():
        weight, bias = weight + before.weight.mean(axis=0), bias + before.bias.mean()
    if blend < 1.0:
        weight = (1.0 - blend) * before.weight + blend * weight
        bias = (1.0 - blend) * before.bias + blend * bias
    largest = float(np.finfo(np.float32).max)
    if not (np.abs(weight) <= largest).all() or not (np.abs(bias) <= largest).all():
        return None
    old_weight, old_bias = layout.head(average)
    new_weight, new_bias = old_weight.copy(), old_bias.copy()
    new_weight[seen], new_bias[seen] = weight, bias
    return layout.with_head(average, new_weight, new_bias)


def replaced(layout: Layout, vector: Vector, head: Head, seen: Mask) -> Vector:
    """`vector` with the rows of `head` in place of those of the classes seen."""
    weight, bias = (part.copy() for part in layout.head(vector))
    with np.errstate(over="ignore"):  # what does not fit is refused by whoever asked
        weight[seen], bias[seen] = head.weight, head.bias
    return layout.with_head(vector, weight, bias)
