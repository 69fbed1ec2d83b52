"""Partitions that are drawn or given: dirichlet, class-dirichlet, iid, shards, natural.

Each function's keyword arguments are the keys of its `[partition]` table. None draws again without bound.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np

from disue.core.checks import Float64, IntMatrix, IntVector
from disue.core.errors import UserError, unknown
from disue.data.dataset import Dataset
from disue.data.partition import Partition, assemble

Rng: TypeAlias = np.random.Generator


def check_alpha(alpha: float) -> float:
    """alpha, if it is a finite number above 0."""
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not (0 < alpha < math.inf):
        raise UserError(f"partition.alpha must be a number > 0, got {alpha!r}", key="partition.alpha", found=alpha)
    return float(alpha)


def check_count(name: str, value: int, smallest: int = 1) -> int:
    """value, if it is a whole number of at least `smallest`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < smallest:
        raise UserError(
            f"partition.{name} must be a whole number ≥ {smallest}, got {value!r}",
            key=f"partition.{name}",
            found=value,
        )
    return int(value)


def check_clients(clients: int, samples: int, each: int = 1, what: str = "samples") -> int:
    """clients, if there are at least `each` samples for every one."""
    check_count("clients", clients)
    if clients * each > samples:
        need = f" of {each}" if each > 1 else ""
        raise UserError(
            f"partition.clients: {clients:,} clients{need} are more than the {samples:,} {what}",
            key="partition.clients",
            found=clients,
        )
    return int(clients)


def prior(rng: Rng, alpha: float, classes: int) -> Float64:
    """One draw of Dir(α · 1), (classes,); where it underflows, its limit: all mass on one class."""
    out = rng.dirichlet(np.full(classes, alpha))
    if np.isfinite(out).all() and out.sum() > 0.5:
        return out
    one = np.zeros(classes)
    one[rng.integers(classes)] = 1.0
    return one


def _fresh(rng: Rng, alpha: float, left: IntVector) -> Float64:
    """Dir(α) over the classes that still have samples; uniform over them where it underflows."""
    open_ = np.flatnonzero(left > 0)
    draw = rng.dirichlet(np.full(open_.size, alpha))
    out = np.zeros(left.size)
    out[open_] = draw if np.isfinite(draw).all() and draw.sum() > 0.5 else 1.0 / open_.size
    return out


def fill(rng: Rng, priors: Float64, sizes: IntVector, supply: IntVector, alpha: float) -> tuple[IntMatrix, int]:
    """Client after client, in the order given, takes its size from what is left, by its prior.

    priors (clients, classes), sizes (clients,), supply (classes,) → counts (clients, classes) with row sums
    `sizes`, and how often a prior was drawn anew because its classes were used up. At most classes + 1
    passes per client: each pass finishes the client or empties a class.
    """
    left = supply.copy()
    counts = np.zeros(priors.shape, np.int64)
    redrawn = 0
    for j in range(len(sizes)):
        need, start = int(sizes[j]), priors[j]
        while need > 0:
            p = start * (left > 0)
            total = p.sum()
            if total < 1e-6:
                start = p = _fresh(rng, alpha, left)
                total = p.sum()
                redrawn += 1
            take = np.minimum(rng.multinomial(need, p / total), left)
            if not take.any():
                take[np.argmax(p)] = 1
            counts[j] += take
            left -= take
            need -= int(take.sum())
    return counts, redrawn


def fill_interleaved(
    rng: Rng, priors: Float64, sizes: IntVector, supply: IntVector, alpha: float
) -> tuple[IntMatrix, int]:
    """As `fill`, but one sample at a time for a client drawn among those not yet full (FedDyn's order).

    FedDyn draws the class again until it meets one that is not used up, without bound. Here the prior is
    renormalised over what is left, and is uniform over it once less than 1e-12 of the prior remains.
    """
    del alpha  # no fresh priors
    left, need, priors = supply.copy(), sizes.copy(), priors.copy()
    unfilled = np.flatnonzero(need > 0).tolist()
    total = int(need.sum())
    counts = np.zeros(priors.shape, np.int64)
    sums = np.cumsum(priors, 1)
    which, where = rng.random(total), rng.random(total)
    changed = 0
    for u, v in zip(which.tolist(), where.tolist(), strict=True):
        slot = int(u * len(unfilled))
        j = unfilled[slot]
        if sums[j, -1] < 1e-12:
            priors[j] = (left > 0) / (left > 0).sum()
            sums[j] = np.cumsum(priors[j])
            changed += 1
        last = int(np.flatnonzero(priors[j])[-1])
        c = min(int(np.searchsorted(sums[j], v * sums[j, -1], side="right")), last)
        counts[j, c] += 1
        left[c] -= 1
        need[j] -= 1
        if left[c] == 0:
            priors[:, c] = 0.0
            sums = np.cumsum(priors, 1)
        if need[j] == 0:
            unfilled[slot] = unfilled[-1]
            unfilled.pop()
    return counts, changed


def deal(rng: Rng, labels: IntVector, counts: IntMatrix, among: IntVector | None = None) -> list[IntVector]:
    """Rows for a table of counts (clients, classes): every class is dealt from one shuffled list."""
    rows = np.arange(len(labels), dtype=np.int64) if among is None else among
    parts: list[list[IntVector]] = [[] for _ in range(len(counts))]
    for c in range(counts.shape[1]):
        pile = rng.permutation(rows[labels[rows] == c])
        for j, piece in enumerate(np.split(pile, np.cumsum(counts[:, c]))[:-1]):
            parts[j].append(piece)
    return [np.concatenate(p) for p in parts]


def cut(rng: Rng, rows: IntVector, clients: int) -> list[IntVector]:
    """One permutation of the rows, in equal parts (the first ones get one more)."""
    return [np.asarray(part) for part in np.array_split(rng.permutation(rows), clients)]


def equal_sizes(samples: int, clients: int) -> IntVector:
    """⌊samples / clients⌋ each, the remainder one each to the first."""
    sizes = np.full(clients, samples // clients, np.int64)
    sizes[: samples % clients] += 1
    return sizes


def dirichlet_rows(
    rng: Rng, labels: IntVector, classes: int, clients: int, alpha: float, repair: str
) -> tuple[list[IntVector], int]:
    """Rows of each client and the number of redrawn priors, for `dirichlet` and the scenarios built on it."""
    rules = {"redraw": fill, "interleave": fill_interleaved}
    if repair not in rules:
        raise unknown("partition.repair", str(repair), rules)
    order = rng.permutation(clients)
    priors = np.stack([prior(rng, alpha, classes) for _ in range(clients)])
    supply = np.bincount(labels, minlength=classes).astype(np.int64)
    table, redrawn = rules[repair](rng, priors, equal_sizes(len(labels), clients), supply, alpha)
    counts = np.empty_like(table)
    counts[order] = table
    return deal(rng, labels, counts), redrawn


def dirichlet(
    data: Dataset,
    rng: Rng,
    *,
    clients: int = 100,
    alpha: float = 0.1,
    repair: Literal["redraw", "interleave"] = "redraw",
) -> Partition:
    """Equal sizes; each client draws its class shares from Dir(α · 1). Both margins are exact.

    repair: what happens when a class is used up: "redraw" (client by client, a fresh prior on what is left)
    or "interleave" (sample by sample in random order, renormalised). They are of different difficulty.
    """
    check_alpha(alpha)
    check_clients(clients, len(data.y_train))
    rows, redrawn = dirichlet_rows(rng, data.y_train, data.classes, clients, alpha, repair)
    found = {"clients": clients, "alpha": alpha, "repair": repair}
    return assemble(data.y_train, rows, "dirichlet", found, redrawn=redrawn)


def iid(data: Dataset, rng: Rng, *, clients: int = 100) -> Partition:
    """One permutation in equal cuts; sizes differ by at most one."""
    check_clients(clients, len(data.y_train))
    return assemble(data.y_train, cut(rng, np.arange(len(data.y_train)), clients), "iid", {"clients": clients})


def shards(data: Dataset, rng: Rng, *, clients: int = 100, shards: int = 2) -> Partition:
    """Rows sorted by label are cut into clients · shards equal shards, dealt at random.

    The last few rows, fewer than clients · shards, are left out.
    """
    check_count("shards", shards)
    check_clients(clients, len(data.y_train), shards, "samples")
    mixed = rng.permutation(len(data.y_train))
    by_label = mixed[np.argsort(data.y_train[mixed], kind="stable")]
    total = clients * shards
    size = len(by_label) // total
    dealt = by_label[: size * total].reshape(total, size)[rng.permutation(total)].reshape(clients, -1)
    return assemble(data.y_train, list(dealt), "shards", {"clients": clients, "shards": shards})


def natural(data: Dataset, rng: Rng, *, min_size: int = 1) -> Partition:
    """The data set's own clients under their own ids; those with fewer than min_size samples are left out."""
    del rng  # nothing is drawn
    check_count("min_size", min_size)
    if data.client_train is None:
        raise UserError(
            f'partition.kind = "natural": {data.name} has no client ids (client_train); use another kind',
            key="partition.kind",
            found=data.name,
        )
    ids, sizes = np.unique(data.client_train, return_counts=True)
    kept = ids[sizes >= min_size]
    if not kept.size:
        raise UserError(
            f"partition.min_size: no client of {data.name} has {min_size} samples (largest: {sizes.max()})",
            key="partition.min_size",
            found=min_size,
        )
    order = np.argsort(data.client_train, kind="stable")
    pieces = dict(zip(ids.tolist(), np.split(order, np.cumsum(sizes))[:-1], strict=True))
    rows = [pieces[i] for i in kept.tolist()]
    return assemble(data.y_train, rows, "natural", {"min_size": min_size}, ids=kept, dropped=int(ids.size - kept.size))
