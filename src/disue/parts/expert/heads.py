"""Linear heads from class means, a covariance and class shares: closed forms, and one taught by SGD.

Every function works in float64 on the k classes that were seen; none of them draws without a generator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from disue.core.checks import Float64, IntVector

TRIES = 8  # of jitter, 10⁻⁸ of the mean eigenvalue and ten times more each
FLOOR = 1e-6  # added to the covariance: a dead feature has none


@dataclass(frozen=True, eq=False)
class Head:
    """weight (k, F), bias (k,)"""

    weight: Float64
    bias: Float64

    def centred(self) -> Head:
        """The same head after softmax, with the mean over classes taken out."""
        return Head(self.weight - self.weight.mean(axis=0), self.bias - self.bias.mean())

    def times(self, factor: float) -> Head:
        return Head(factor * self.weight, factor * self.bias)

    def logits(self, features: Float64) -> Float64:
        return features @ self.weight.T + self.bias

    def norm(self) -> float:
        """Frobenius norm of weight and bias together."""
        return math.sqrt(float((self.weight**2).sum() + (self.bias**2).sum()))


def symmetric(matrix: Float64) -> Float64:
    """The symmetric part, over the last two axes."""
    return (matrix + np.swapaxes(matrix, -1, -2)) / 2


def cholesky(matrix: Float64) -> Float64 | None:
    """The lower Cholesky factor, with growing jitter where it fails; None after the last try."""
    if not np.isfinite(matrix).all():
        return None
    import torch

    size = matrix.shape[0]
    level = float(np.trace(matrix)) / max(size, 1)
    for power in range(TRIES + 1):
        jitter = 0.0 if power == 0 else 1e-9 * 10.0**power * level
        factor, failed = torch.linalg.cholesky_ex(torch.from_numpy(matrix + jitter * np.eye(size)))
        if not failed:
            return np.asarray(factor.numpy(), np.float64)
    return None


def root(sigma: Float64) -> Float64:
    """A matrix R with R Rᵀ = Σ, also where Σ is singular: with fewer samples than features it always is."""
    values, vectors = np.linalg.eigh(sigma)
    out: Float64 = vectors * np.sqrt(np.maximum(values, 0.0))
    return out


def solve(matrix: Float64, right: Float64) -> Float64 | None:
    """matrix⁻¹ right for a symmetric positive matrix; None where it cannot be made so."""
    import torch

    factor = cholesky(matrix)
    if factor is None or not np.isfinite(right).all():
        return None
    columns = torch.from_numpy(np.array(right)).reshape(len(right), -1)
    out: Float64 = torch.cholesky_solve(columns, torch.from_numpy(factor)).numpy().reshape(right.shape)
    return out if np.isfinite(out).all() else None


def shrinkage(gamma: float, freedom: float, features: int) -> float:
    """γ, raised in a straight line to 1 (nearest class mean) where d̄ falls from 2F to 0."""
    lack = 1.0 - min(max(freedom, 0.0) / (2.0 * features), 1.0)
    return gamma + (1.0 - gamma) * lack


def covariance(scatter: Float64, freedom: float, gamma: float) -> Float64 | None:
    """Σ = (1 − γ) W̄/d̄ + γ tr(W̄/d̄)/F · I + 10⁻⁶ I; None where there is no scatter at all."""
    features = scatter.shape[0]
    level = float(np.trace(scatter)) / features
    if freedom <= 0 or not math.isfinite(level) or level <= 0:
        return None
    pooled = symmetric(scatter) / freedom
    out: Float64 = (1.0 - gamma) * pooled + (gamma * level / freedom + FLOOR) * np.eye(features)
    return out


def discriminant(means: Float64, sigma: Float64, shares: Float64) -> Head | None:
    """Linear discriminant: w_c = Σ⁻¹ μ_c, b_c = −½ μ_cᵀ w_c + log q_c."""
    solved = solve(sigma, means.T)
    if solved is None:
        return None
    weight = solved.T
    return Head(weight, -0.5 * (means * weight).sum(axis=1) + np.log(shares))


def ridge(means: Float64, within: Float64, shares: Float64, rho: float) -> Head | None:
    """Ridge regression of the one-hot labels, each class counting q_c; outputs lie about [0, 1].

    A = Σ_c q_c M_cᵀ M_c + blockdiag(W̄/d̄, 0),  M_c = [μ_cᵀ 1];
    (w; b) = (A + ρ tr(A_FF)/F · blockdiag(I, 0))⁻¹ Σ_c q_c M_cᵀ e_cᵀ
    """
    classes, features = means.shape
    design = np.concatenate([means, np.ones((classes, 1))], axis=1)
    right = (shares[:, None] * design).T
    gram = right @ design
    gram[:features, :features] += within
    level = rho * float(np.trace(gram[:features, :features])) / features
    gram[:features, :features] += level * np.eye(features)
    solved = solve(symmetric(gram), right)
    return None if solved is None else Head(solved[:features].T, solved[features])


def virtual(
    means: Float64,
    roots: Sequence[Float64],
    labels: IntVector,
    rng: np.random.Generator,
    *,
    positive: bool,
) -> Float64:
    """(n, F) features drawn for `labels`: μ_y + Σ_y^½ ε, ≥ 0 after a ReLU.

    roots   one lower factor for all classes, or one for each
    """
    noise = rng.standard_normal((labels.size, means.shape[1]))
    if len(roots) == 1:
        out = noise @ roots[0].T
    else:
        out = np.empty_like(noise)
        for label, root in enumerate(roots):
            out[labels == label] = noise[labels == label] @ root.T
    out += means[labels]
    return np.maximum(out, 0.0) if positive else out


def cross_entropy(logits: Float64, labels: IntVector) -> float:
    """Mean over the rows."""
    picked = logits[np.arange(labels.size), labels]
    return float(np.mean(_log_sum(logits) - picked))


def _log_sum(logits: Float64) -> Float64:
    """(n,) log Σ_c exp(logits)."""
    import torch

    out: Float64 = torch.from_numpy(logits).logsumexp(1).numpy()
    return out


def confidence(logits: Float64, labels: IntVector) -> float:
    """The factor in [10⁻³, 10³] of the logits that has the least cross-entropy (convex in the factor)."""
    from scipy.optimize import minimize_scalar  # takes half a second to load, and the default does not ask for it

    found = minimize_scalar(
        lambda log: cross_entropy(math.exp(log) * logits, labels),
        bounds=(-math.log(1e3), math.log(1e3)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return math.exp(float(found.x))


@dataclass(frozen=True)
class Teaching:
    """How `taught` steps: SGD with momentum 0.9 on batches of 100, the gradient's norm clipped at 5."""

    steps: int = 300
    lr: float = 0.05
    batch: int = 100
    momentum: float = 0.9
    clip: float = 5.0


def taught(head: Head, features: Float64, labels: IntVector, how: Teaching, rng: np.random.Generator) -> Head:
    """The head after SGD on cross-entropy, from `head`; passes over the rows in a new order each."""
    classes, width = head.weight.shape
    joint = np.concatenate([features, np.ones((labels.size, 1))], axis=1)
    goal = np.eye(classes)[labels]
    at = np.concatenate([head.weight, head.bias[:, None]], axis=1)
    speed = np.zeros_like(at)
    batch = min(how.batch, labels.size)
    queue = np.zeros(0, np.int64)
    for _ in range(how.steps):
        if queue.size < batch:
            queue = rng.permutation(labels.size)
        rows, queue = queue[:batch], queue[batch:]
        logits = joint[rows] @ at.T
        wrong = np.exp(logits - _log_sum(logits)[:, None]) - goal[rows]
        gradient = wrong.T @ joint[rows] / batch
        norm = float(np.linalg.norm(gradient))
        if norm > how.clip:
            gradient *= how.clip / norm
        speed = how.momentum * speed + gradient
        at = at - how.lr * speed
    return Head(at[:, :width], at[:, width])
