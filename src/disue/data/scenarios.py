"""Partitions with planted groups of known truth: g(i) = i mod groups over a permuted order of clients."""

from __future__ import annotations

import numpy as np

from disue.core.checks import IntVector
from disue.core.errors import UserError
from disue.data.dataset import Dataset
from disue.data.draws import (
    Rng,
    check_alpha,
    check_clients,
    check_count,
    cut,
    deal,
    dirichlet_rows,
    fill,
    prior,
)
from disue.data.partition import Parameter, Partition, assemble


def plant(rng: Rng, clients: int, groups: int) -> IntVector:
    """(clients,) int64: the group of every client; group sizes differ by at most one."""
    out = np.empty(clients, np.int64)
    out[rng.permutation(clients)] = np.arange(clients) % groups
    return out


def rotated(
    data: Dataset,
    rng: Rng,
    *,
    clients: int = 100,
    groups: int = 2,
    alpha: float | None = None,
    copies: bool = False,
) -> Partition:
    """Groups see images turned: two groups by 0° and 180°, four by multiples of 90°.

    alpha: None for iid samples within, else Dir(α) over the labels of each client. copies: every group's
    clients share out all samples (as IFCA does), so that a sample lies in each group once.
    """
    if groups not in (2, 4):
        raise UserError(
            f"partition.groups must be 2 or 4 for rotated, got {groups!r}", key="partition.groups", found=groups
        )
    if data.kind != "image" or data.shape[1] != data.shape[2]:
        raise UserError(
            f'partition.kind = "rotated" needs square images, {data.name} is {data.kind} of shape {data.shape}',
            key="partition.kind",
            found=data.shape,
        )
    _check(data, clients, groups)
    truth = plant(rng, clients, groups)
    if copies:
        rows: list[IntVector] = [np.zeros(0, np.int64)] * clients
        redrawn = 0
        for g in range(groups):
            members = np.flatnonzero(truth == g)
            parts, again = _within(data, rng, members.size, alpha)
            redrawn += again
            for j, part in zip(members.tolist(), parts, strict=True):
                rows[j] = part
    else:
        rows, redrawn = _within(data, rng, clients, alpha)
    given: dict[str, Parameter] = {"clients": clients, "groups": groups, "alpha": alpha, "copies": copies}
    turns = truth * (4 // groups)
    return assemble(data.y_train, rows, "rotated", given, truth=truth, turns=turns, redrawn=redrawn)


def permuted_labels(
    data: Dataset, rng: Rng, *, clients: int = 100, groups: int = 2, alpha: float | None = None
) -> Partition:
    """Group g names class c as (c + g · ⌊classes / groups⌋) mod classes: no class keeps its name in two groups.

    alpha: None for iid samples within, else Dir(α). Group 0 keeps the labels.
    """
    _check(data, clients, groups)
    if groups > data.classes:
        raise UserError(
            f"partition.groups: {groups} groups are more than the {data.classes} classes to permute",
            key="partition.groups",
            found=groups,
        )
    truth = plant(rng, clients, groups)
    rows, redrawn = _within(data, rng, clients, alpha)
    shift = truth * (data.classes // groups)
    maps = (np.arange(data.classes)[None] + shift[:, None]) % data.classes
    given: dict[str, Parameter] = {"clients": clients, "groups": groups, "alpha": alpha}
    return assemble(data.y_train, rows, "permuted-labels", given, truth=truth, label_maps=maps, redrawn=redrawn)


def disjoint_labels(data: Dataset, rng: Rng, *, clients: int = 100, groups: int = 2) -> Partition:
    """The classes in runs of ⌊classes / groups⌋ or one more, one run a group; members share it out iid."""
    _check(data, clients, groups)
    if groups > data.classes:
        raise UserError(
            f"partition.groups: {groups} groups are more than the {data.classes} classes to part",
            key="partition.groups",
            found=groups,
        )
    truth = plant(rng, clients, groups)
    piles = [np.flatnonzero(np.isin(data.y_train, run)) for run in np.array_split(np.arange(data.classes), groups)]
    rows = _share_out(rng, truth, piles)
    return assemble(data.y_train, rows, "disjoint-labels", {"clients": clients, "groups": groups}, truth=truth)


def cluster_dirichlet(data: Dataset, rng: Rng, *, clients: int = 100, groups: int = 4, alpha: float = 0.1) -> Partition:
    """One label prior per group from Dir(α · 1), whose samples its members share out iid."""
    check_alpha(alpha)
    _check(data, clients, groups)
    truth = plant(rng, clients, groups)
    members = np.bincount(truth, minlength=groups)
    ends = np.floor(np.cumsum(members) * (len(data.y_train) / clients) + 1e-9).astype(np.int64)
    sizes = np.diff(ends, prepend=0)
    priors = np.stack([prior(rng, alpha, data.classes) for _ in range(groups)])
    supply = np.bincount(data.y_train, minlength=data.classes).astype(np.int64)
    counts, redrawn = fill(rng, priors, sizes, supply, alpha)
    rows = _share_out(rng, truth, deal(rng, data.y_train, counts))
    given: dict[str, Parameter] = {"clients": clients, "groups": groups, "alpha": alpha}
    return assemble(data.y_train, rows, "cluster-dirichlet", given, truth=truth, redrawn=redrawn)


def mixed(data: Dataset, rng: Rng, *, clients: int = 100, alpha: float | None = None) -> Partition:
    """Half of the clients hold the one set of a mixed one, half the other; each group shares its set out.

    alpha: None for iid samples within, else Dir(α) over the labels of each client. A client is tested on its own set.
    """
    if data.source_train is None:
        raise UserError(
            f'partition.kind = "mixed" needs two sets: name a second one in [data] mix beside {data.name}',
            key="partition.kind",
            found=data.name,
        )
    groups = int(data.source_train.max()) + 1
    _check(data, clients, groups)
    truth = plant(rng, clients, groups)
    rows: list[IntVector] = [np.zeros(0, np.int64)] * clients
    redrawn = 0
    for g in range(groups):
        members, own = np.flatnonzero(truth == g), np.flatnonzero(data.source_train == g)
        if alpha is None:
            parts = cut(rng, own, members.size)
        else:
            found, labels = np.unique(data.y_train[own], return_inverse=True)  # priors over the set's own classes
            labels = labels.astype(np.int64)
            parts, again = dirichlet_rows(rng, labels, found.size, members.size, check_alpha(alpha), "redraw")
            parts, redrawn = [own[part] for part in parts], redrawn + again
        for j, part in zip(members.tolist(), parts, strict=True):
            rows[j] = part
    given: dict[str, Parameter] = {"clients": clients, "alpha": alpha}
    return assemble(data.y_train, rows, "mixed", given, truth=truth, sources=truth, redrawn=redrawn)


def _check(data: Dataset, clients: int, groups: int) -> None:
    check_clients(clients, len(data.y_train))
    check_count("groups", groups)
    if groups > clients:
        raise UserError(
            f"partition.groups: {groups} groups are more than the {clients} clients",
            key="partition.groups",
            found=groups,
        )


def _within(data: Dataset, rng: Rng, clients: int, alpha: float | None) -> tuple[list[IntVector], int]:
    """All rows dealt to `clients` clients, iid or by Dir(α), and the number of redrawn priors."""
    if alpha is None:
        return cut(rng, np.arange(len(data.y_train)), clients), 0
    return dirichlet_rows(rng, data.y_train, data.classes, clients, check_alpha(alpha), "redraw")


def _share_out(rng: Rng, truth: IntVector, piles: list[IntVector]) -> list[IntVector]:
    """Rows by client: each group's pile in equal parts over its members."""
    rows: list[IntVector] = [np.zeros(0, np.int64)] * len(truth)
    for g, pile in enumerate(piles):
        members = np.flatnonzero(truth == g)
        if len(pile) < members.size:
            raise UserError(
                f"partition.clients: group {g} has {members.size} clients and only {len(pile)} samples",
                key="partition.clients",
                found=int(members.size),
            )
        for j, part in zip(members.tolist(), cut(rng, pile, members.size), strict=True):
            rows[j] = part
    return rows
