"""Group weighting: how much each group says about each class.

    kind                 α_gy ∝                            over
    count (gamma, rho)   N_gy^gamma · π_gy^rho             groups with N_gy > 0
    purity (power)       N_gy · π_gy^power                 groups with N_gy > 0
    softmax              exp(π_gy / temperature)           groups with N_gy > 0
    uniform              1                                 groups with N_gy > 0
    uniform-all          1                                 all groups with samples

π_gy = N_gy / N_g. "count" is the class-level ensemble of FedFTG (Zhang et al., CVPR 2022); "purity"
prefers the specialist among groups with equal counts; "uniform-all" is DENSE's and FedDF's.
"""

from __future__ import annotations

import numpy as np

from disue.core.checks import Array, Float64
from disue.parts.expert import ranges
from disue.parts.expert.labels import columns, table

KINDS = ("count", "purity", "softmax", "uniform", "uniform-all")


def check_weights(
    kind: object,
    *,
    gamma: object = 1.0,
    rho: object = 0.0,
    temperature: object = 0.2,
    power: object = 1.0,
) -> None:
    """The ranges of `group_weights`' arguments, for parts that check at construction."""
    ranges.name("expert.weights", kind, KINDS)
    ranges.number("expert.weights_gamma", gamma, 0.0)
    ranges.number("expert.weights_rho", rho, 0.0)
    ranges.number("expert.weights_temperature", temperature, 0.0, above=True)
    ranges.number("expert.weights_power", power, 0.0)


def group_weights(
    kind: str,
    counts: Array,
    *,
    gamma: float = 1.0,
    rho: float = 0.0,
    temperature: float = 0.2,
    power: float = 1.0,
) -> Float64:
    """(g, C) weights ≥ 0 whose columns sum to one; a class that no group holds has a column of zeros.

    counts   (g, C) samples per group and class

    "uniform-all" gives one over the number of groups to classes that nobody holds as well. A group
    without any sample gets weight 0 and changes nothing, same bits; only where *no* group reports samples
    does "uniform-all" weigh all of them alike.

    >>> group_weights("count", np.array([[30, 10, 0], [10, 30, 0]])).tolist()
    [[0.75, 0.25, 0.0], [0.25, 0.75, 0.0]]
    """
    check_weights(kind, gamma=gamma, rho=rho, temperature=temperature, power=power)
    counts = table(counts)
    sizes = columns(counts.T)
    if kind == "uniform-all":
        speaks = sizes > 0 if (sizes > 0).any() else np.ones(sizes.size, bool)
        alike = np.repeat(speaks[:, None], counts.shape[1], axis=1)
        return _normalised(alike.astype(np.float64))
    holds = counts > 0
    if kind == "uniform":
        return _normalised(holds.astype(np.float64))
    share = counts / np.where(sizes > 0, sizes, 1.0)[:, None]
    if kind == "softmax":
        top = share.max(axis=0, initial=0.0)  # so that the largest exponent is 0: no overflow
        return _normalised(np.where(holds, np.exp((share - top) / temperature), 0.0))
    if kind == "purity":
        gamma, rho = 1.0, power
    if gamma == 1.0 and rho == 0.0:
        return _normalised(counts.astype(np.float64))
    # Logarithms about the column's largest: large exponents neither overflow nor vanish all at once.
    log = np.full(counts.shape, -np.inf)
    log[holds] = gamma * np.log(counts[holds]) + rho * np.log(share[holds])
    top = np.where(holds.any(axis=0), log.max(axis=0, initial=-np.inf), 0.0)
    return _normalised(np.exp(log - top))


def _normalised(raw: Float64) -> Float64:
    """Columns divided by their sums; empty columns stay zero."""
    total = columns(raw)
    return raw / np.where(total > 0, total, 1.0)
