"""Class moments kept over the rounds: decayed per class, and moved along with the body.

Per class c a decayed count n_c and sum m_c, and one decayed within-class scatter W̄ with its degrees of
freedom d̄. The scatter of a round is taken about that round's own means before it is stored: raw second
moments minus carried means would mix two bodies, and are often not positive definite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from disue.core.checks import Array, Float64, Mask, Vector, frozen
from disue.core.errors import UserError
from disue.core.uploads import Moments
from disue.parts.expert.heads import solve, symmetric
from disue.parts.expert.weights import group_weights


@dataclass(frozen=True, eq=False)
class MomentStore:
    """What the moments family remembers, in float64.

    counts   (C,) n_c, 0 for a class never seen     sums   (C, F) m_c = n_c μ_c
    scatter  (F, F) W̄                               freedom  d̄
    own      (C, F, F) W̄ of each class, and own_freedom (C,); (0, F, F) and (0,) where only the pool is kept
    scale    the factor of the head made last, 1 where none was made
    under    (d,) the vector whose features these are; (0,) before the first round and without transport
    """

    counts: Float64
    sums: Float64
    scatter: Float64
    freedom: float
    own: Float64
    own_freedom: Float64
    scale: float = 1.0
    under: Vector = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def seen(self) -> Mask:
        """(C,) classes seen in any round."""
        return self.counts > 0

    @property
    def means(self) -> Float64:
        """(C, F) μ_c; zero for a class never seen."""
        return self.sums / np.where(self.seen, self.counts, 1.0)[:, None]


def empty(classes: int, features: int, *, per_class: bool = False) -> MomentStore:
    """A store that has seen nothing."""
    own = classes if per_class else 0
    return MomentStore(
        np.zeros(classes),
        np.zeros((classes, features)),
        np.zeros((features, features)),
        0.0,
        np.zeros((own, features, features)),
        np.zeros(own),
    )


@dataclass(frozen=True, eq=False)
class Measured:
    """One round's moments, ready to be stored: N_c and μ_c of the classes that count, W and d."""

    counts: Float64
    means: Float64
    scatter: Float64
    freedom: float
    own: Float64
    own_freedom: Float64


def check(moments: Moments, classes: int, features: int) -> None:
    """Refuses moments of another shape than the model's head."""
    groups = moments.numbers.size
    if moments.counts.shape != (groups, classes) or moments.sums.shape != (groups, classes, features):
        raise UserError(
            f"moments: expected counts {(groups, classes)} and sums {(groups, classes, features)}, "
            f"got {moments.counts.shape} and {moments.sums.shape}",
            key="moments",
            found=moments.sums.shape,
        )
    if moments.second.shape not in (
        (groups, features, features),
        (groups, classes, features, features),
    ):
        raise UserError(
            f"moments.second: expected {(groups, features, features)} or the same per class, "
            f"got {moments.second.shape}",
            key="moments",
            found=moments.second.shape,
        )


def finite(moments: Moments) -> bool:
    """Whether every number of the answer can be used."""
    arrays: tuple[Array | None, ...] = (moments.sums, moments.second, moments.cross_xx, moments.cross_xy)
    return all(array is None or bool(np.isfinite(array).all()) for array in arrays)


def measured(
    moments: Moments,
    weights: str = "count",
    arguments: Mapping[str, float] | None = None,
    *,
    floor: int = 1,
    per_class: bool = False,
) -> Measured:
    """A round's answer with the groups mixed per class: μ_c = Σ_g α_gc S_gc / N_gc.

    A group's class with fewer than `floor` samples counts as absent from the mean. The scatter is that
    about the pooled means of *all* samples, whatever the weights: Q is known over all of them only.
    """
    counts = moments.counts.astype(np.float64)
    heard = np.where(counts >= max(floor, 1), counts, 0.0)
    alpha = group_weights(weights, heard, **(arguments or {})) * (heard > 0)
    held = alpha.sum(axis=0)
    alpha = alpha / np.where(held > 0, held, 1.0)  # a group without the class has no mean to weigh
    local = moments.sums / np.maximum(counts, 1.0)[:, :, None]
    means = (alpha[:, :, None] * local).sum(axis=0)

    total, pooled = counts.sum(axis=0), moments.sums.sum(axis=0)
    present = total > 0
    spread = pooled[present] / np.sqrt(total[present])[:, None]
    classwise = moments.second.ndim == 4
    second = moments.second.sum(axis=0)
    whole = second.sum(axis=0) if classwise else second
    own, freedom = np.zeros((0, *whole.shape)), np.zeros(0)
    if per_class and classwise:
        own, freedom = np.zeros(second.shape), np.maximum(total - 1.0, 0.0)
        own[present] = symmetric(second[present] - spread[:, :, None] * spread[:, None, :])
    return Measured(
        heard.sum(axis=0),
        means,
        symmetric(whole - spread.T @ spread),
        float(total.sum() - present.sum()),
        own,
        freedom,
    )


def refreshed(store: MomentStore, new: Measured, decay: float) -> MomentStore:
    """The store after a round: classes that are present decay and take the new moments, others stay.

    n_c ← λ n_c + N_c,  m_c ← λ m_c + N_c μ_c  where N_c > 0;   W̄ ← λ W̄ + W,  d̄ ← λ d̄ + d  always
    """
    present = new.counts > 0
    keep = np.where(present, decay, 1.0)
    own, own_freedom = store.own, store.own_freedom
    if own.shape == new.own.shape and own.size:
        fresh = np.where(new.own_freedom > 0, decay, 1.0)
        own, own_freedom = fresh[:, None, None] * own + new.own, fresh * own_freedom + new.own_freedom
    return replace(
        store,
        counts=frozen(keep * store.counts + new.counts),
        sums=frozen(keep[:, None] * store.sums + new.counts[:, None] * new.means),
        scatter=frozen(decay * store.scatter + new.scatter),
        freedom=decay * store.freedom + new.freedom,
        own=frozen(own),
        own_freedom=frozen(own_freedom),
    )


def drift(cross_xx: Float64, cross_xy: Float64, ridge: float) -> Float64 | None:
    """(F+1, F) the affine map from old features to new ones, a ridge regression towards "nothing moved".

    T = E + (X + ρ tr(X_FF)/F · I)⁻¹ (Y − X E),  E = [I; 0]; None where it cannot be solved.
    """
    features = cross_xy.shape[1]
    xx = symmetric(cross_xx)
    level = ridge * float(np.trace(xx[:features, :features])) / features
    change = solve(xx + level * np.eye(features + 1), cross_xy - xx[:, :features])
    return None if change is None else np.eye(features + 1, features) + change


def moved(store: MomentStore, affine: Float64, *, positive: bool) -> MomentStore:
    """The store carried to where the features are now: μ_c ← Aᵀ μ_c + t (≥ 0 after a ReLU), W̄ ← Aᵀ W̄ A."""
    slope, shift = affine[:-1], affine[-1]
    means = store.means @ slope + shift
    if positive:
        means = np.maximum(means, 0.0)
    return replace(
        store,
        sums=frozen(store.counts[:, None] * means),
        scatter=frozen(symmetric(slope.T @ store.scatter @ slope)),
        own=frozen(symmetric(slope.T @ store.own @ slope)),
    )
