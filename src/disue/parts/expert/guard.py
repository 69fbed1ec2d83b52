"""Whether a new head is worse than the one before, by what the server can see without data.

Both heads are put to virtual features of this round's moments, *row by row*: μ_c + Σ^½ ε with the row's own means,
covariance and classes, a row being the fewest clients whose moments the door shows. A head's worth is the median over
rows of the share it names right: as long as fewer than half of the rows lie, honest rows say it. These moments are of
the features as they are now. Earlier ones are not the judge, since they would be for whichever head is behind the body;
nor is the agreement of the two heads, which cannot tell the better from the worse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from disue.core.checks import Array, Float64
from disue.parts.expert import heads
from disue.parts.expert.borne import Row
from disue.parts.expert.heads import Head
from disue.parts.expert.labels import draw

DRAWS = 200  # a row


def objection(
    slack: float,
    before: tuple[Array, Array],
    after: tuple[Array, Array],
    rows: Sequence[Row],
    rng: np.random.Generator,
    *,
    positive: bool,
) -> str:
    """Why the head after is not to be had, or "": its worth is more than `slack` below that of the head before.

    before, after  weight (C, F) and bias (C,)
    """
    old, new = worths([_head(before), _head(after)], rows, rng, positive=positive)
    return (
        "" if new >= old - slack else f"half of the rows name ≤ {new:.3f} by the new head, {old:.3f} by the one before"
    )


def worths(judged: Sequence[Head], rows: Sequence[Row], rng: np.random.Generator, *, positive: bool) -> list[float]:
    """Of each head the median over rows of the share of virtual features that it names right."""
    right: list[list[float]] = [[] for _ in judged]
    for row in rows:
        features, labels = virtual(row, rng, positive=positive)
        for head, shares in zip(judged, right, strict=True):
            shares.append(float((head.logits(features).argmax(axis=1) == labels).mean()))
    return [float(np.median(shares)) for shares in right]


def virtual(row: Row, rng: np.random.Generator, *, positive: bool) -> tuple[Float64, Array]:
    """Features and labels as a row describes them; without scatter its means themselves."""
    size = row.means.shape[1]
    gamma = heads.shrinkage(0.0, row.freedom, size)
    sigma = heads.covariance(row.within, row.freedom, gamma)
    root = None if sigma is None else heads.cholesky(sigma)
    labels = draw(row.counts / row.counts.sum(), DRAWS, rng)
    still = np.zeros((size, size)) if root is None else root
    return heads.virtual(row.means, [still], labels, rng, positive=positive), labels


def _head(pair: tuple[Array, Array]) -> Head:
    weight, bias = pair
    return Head(weight.astype(np.float64), bias.astype(np.float64))
