"""One model on one pool of test samples: right answers by class, and the logits for whoever needs them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from disue.core.checks import Array, Float64, IntVector, Matrix, Vector
from disue.core.world import Network


@dataclass(frozen=True, eq=False)
class Scored:
    """What one model says of one pool of n samples.

    correct  (classes,) int64 right answers by true class     totals  (classes,) int64 samples by true class
    logits   (n, classes) float32                             labels  (n,) int64
    """

    correct: IntVector
    totals: IntVector
    logits: Matrix
    labels: IntVector

    @property
    def accuracy(self) -> float:
        """Share of right answers in percent."""
        return 100.0 * float(self.correct.sum()) / max(int(self.totals.sum()), 1)

    @property
    def by_class(self) -> Float64:
        """(classes,) accuracy in [0, 1] of each class, NaN for a class without samples."""
        out = np.full(self.totals.shape, np.nan)
        np.divide(self.correct, self.totals, out=out, where=self.totals > 0)
        return out


def outputs(network: Network, vector: Vector, x: Array) -> Matrix:
    """(n, classes) float32 logits of a model; the network takes the batches it can hold."""
    if not len(x):
        return np.zeros((0, network.layout.classes), np.float32)
    return network.logits(vector, x)


def mean_loss(network: Network, vector: Vector, x: Array, y: IntVector) -> float:
    """The mean cross entropy of a model on inputs x (n, …) with labels y (n,)."""
    logits = outputs(network, vector, x).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(y.size), y]))


def tally(logits: Matrix, y: IntVector, classes: int) -> Scored:
    """Right answers by class; of equal logits the first class is the answer."""
    right = logits.argmax(1) == y
    return Scored(
        np.bincount(y[right], minlength=classes).astype(np.int64),
        np.bincount(y, minlength=classes).astype(np.int64),
        logits,
        y,
    )


def score(network: Network, vector: Vector, x: Array, y: IntVector, classes: int) -> Scored:
    """One pass of one model over inputs x (n, …) with labels y (n,)."""
    return tally(outputs(network, vector, x), y, classes)


def softmax(logits: Matrix) -> Float64:
    """(n, classes) probabilities."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    np.exp(shifted, out=shifted)
    return np.asarray(shifted / shifted.sum(1, keepdims=True), np.float64)
