"""Class moments of the features, measured by the clients who answered and summed over groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from disue.core.checks import Float64, Vector
from disue.core.groups import Groups
from disue.core.uploads import Moments
from disue.core.world import World
from disue.engine.answers import Answer
from disue.engine.linear import product, symmetric
from disue.engine.shelf import Shelf


def measure(
    world: World,
    groups: Groups,
    members: Sequence[tuple[Answer, int]],
    shelf: Shelf,
    under: Vector | None,
    against: Vector | None,
    per_class: bool,
) -> Moments:
    """Sums over `members` (in the order of ids) of what each measures on its own training data.

    Evaluation mode, with the statistics of the vector that is measured under; float64 throughout.
    """
    g, classes, f = groups.numbers.size, world.layout.classes, world.layout.features
    counts, sums = np.zeros((g, classes), np.int64), np.zeros((g, classes, f))
    second = np.zeros((g, classes, f, f)) if per_class else np.zeros((g, f, f))
    xx, xy = np.zeros((f + 1, f + 1)), np.zeros((f + 1, f))
    for answer, row in members:
        data = shelf.get(answer.id)

        def features(vector: Vector, inputs: np.ndarray = data.x) -> Float64:
            return world.network.features(vector, inputs).astype(np.float64)

        seen = features(answer.received if under is None else under)
        counts[row] += np.bincount(data.y, minlength=classes)
        one_hot = np.zeros((classes, data.y.size))
        one_hot[data.y, np.arange(data.y.size)] = 1.0
        across = np.ascontiguousarray(seen.T)  # (features, n)
        sums[row] += product(one_hot, across)
        if per_class:
            for label in np.unique(data.y):
                of = np.ascontiguousarray(across[:, data.y == label])
                second[row, label] += symmetric(product(of, of))
        else:
            second[row] += symmetric(product(across, across))
        if against is not None:
            before = np.concatenate([features(against), np.ones((data.y.size, 1))], axis=1).T
            before = np.ascontiguousarray(before)  # (features + 1, n)
            xx += symmetric(product(before, before))
            xy += product(before, across)
    crossed = against is not None
    return Moments(groups.numbers, counts, sums, second, xx if crossed else None, xy if crossed else None)
