"""A client's features as Gaussian mixtures, one for each class: what it sends, and how the server draws from it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from disue.core.checks import Array, Float64, IntVector
from disue.core.clients import Order
from disue.parts.expert.heads import root

COVARIANCES = ("full", "diag", "spherical")
COUNTS, WEIGHTS, MEANS, SPREADS = "mixture_counts", "mixture_weights", "mixture_means", "mixture_covariances"
SENT = (COUNTS, WEIGHTS, MEANS, SPREADS)


@dataclass(frozen=True, eq=False)
class Mixtures:
    """What a client computes: the mixtures of its features under the vector that it received (a `Probe`).

    A class has at most one component to two samples. One with a single sample is not sent: its mixture would be that
    sample's features themselves. Classes that are not sent are zeros, of weight and count 0.
    """

    components: int
    covariance: str

    def __call__(self, inputs: Array, labels: IntVector, order: Order) -> Mapping[str, Array]:
        assert order.network is not None and order.streams is not None
        classes, k = order.layout.classes, self.components
        phi = order.network.features(order.start, inputs).astype(np.float64)
        shape = spread_shape(self.covariance, phi.shape[1])
        counts, weights = np.zeros(classes, np.int64), np.zeros((classes, k), np.float32)
        means, spreads = np.zeros((classes, k, phi.shape[1]), np.float32), np.zeros((classes, k, *shape), np.float32)
        for label in np.unique(labels).tolist():
            rows = phi[labels == label]
            if len(rows) < 2:
                continue
            seed = order.streams("mixture", order.round, order.id, label).integers(2**31)
            found = fitted(rows, min(k, len(rows) // 2), self.covariance, int(seed))
            counts[label], made = len(rows), len(found[0])
            weights[label, :made], means[label, :made], spreads[label, :made] = found
        return {COUNTS: counts, WEIGHTS: weights, MEANS: means, SPREADS: spreads}


def spread_shape(covariance: str, features: int) -> tuple[int, ...]:
    """The shape of one component's covariance."""
    return {"full": (features, features), "diag": (features,), "spherical": ()}[covariance]


def fitted(rows: Float64, components: int, covariance: str, seed: int) -> tuple[Float64, Float64, Float64]:
    """(weights (k,), means (k, F), covariances (k, …)) of greatest likelihood, by EM from k-means."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(components, covariance_type=covariance, random_state=seed, reg_covar=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a mixture that goes on improving is one to draw from
        model.fit(rows)
    return model.weights_, model.means_, model.covariances_


def draws(
    amount: int, weights: Array, means: Array, spreads: Array, covariance: str, rng: np.random.Generator
) -> Float64:
    """(amount, F) features of one class of one client: weights (k,), means (k, F), spreads (k, …)."""
    shares = weights.astype(np.float64)
    which = rng.choice(shares.size, amount, p=shares / shares.sum())
    out = rng.standard_normal((amount, means.shape[1]))
    for component in np.unique(which).tolist():
        rows, spread = which == component, spreads[component].astype(np.float64)
        out[rows] = out[rows] @ root(spread).T if covariance == "full" else out[rows] * np.sqrt(spread)
    return np.asarray(out + means.astype(np.float64)[which], np.float64)
