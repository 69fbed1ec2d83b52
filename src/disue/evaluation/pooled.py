"""Tests on one pool that all clients share: global accuracy, and exact local accuracy from its classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from disue.core.checks import Array, Float64, IntVector, Matrix
from disue.core.streams import Streams
from disue.core.world import Network
from disue.evaluation.accuracy import score, softmax, tally
from disue.evaluation.local import majority, proportional, with_prior
from disue.evaluation.passes import Outputs, Passes
from disue.evaluation.plan import OWN, PERSONAL, Columns, On, Plan, TestBed

K = TypeVar("K")
MANY = 100  # models, above which those of a single client are scored on a drawn subset
LEAST = 1000  # samples that a personal model is scored on, where the pool has so many


@dataclass(frozen=True, eq=False)
class Teachers:
    """The ensemble that an expert is distilled from: models (g, d), weights (g, classes) by class.

    logits  the teachers' logits are mixed, not their probabilities
    """

    models: Matrix
    weights: Float64
    logits: bool = False


def taught(arrays: Mapping[str, Array]) -> Teachers | None:
    """What a round says that its expert was distilled from; None where it says nothing."""
    if "teacher_models" not in arrays:
        return None
    return Teachers(arrays["teacher_models"], arrays["teacher_weights"], logits="teacher_logits" in arrays)


@dataclass(frozen=True, eq=False)
class Pooled:
    """Accuracy of each row asked for, of the personal model of each position, of the teachers, and columns (n,) of
    local accuracy."""

    of_row: dict[int, float]
    of_client: dict[int, float]
    teachers: float | None
    columns: dict[str, Float64]


def pooled(
    network: Network,
    plan: Plan,
    clients: TestBed[K],
    wanted: Iterable[int],
    teachers: Teachers | None,
    *,
    local: bool,
    on: On,
    streams: Streams,
    draw: int,
    by_client: bool = False,
) -> Pooled:
    """One pass per distinct body and transform; `wanted` are the rows whose global accuracy is asked for, and
    `by_client` asks for that of the personal models.

    Where clients see inputs or labels transformed (planted groups), the global set is the pool under every
    client's transform: the mean over clients. A client's end model is scored on a fixed drawn subset of the
    pool of `draw` samples (0: all), and so is, where there are more than `MANY` models, a model of one client;
    a personal model on one of `LEAST` samples or more.
    """
    columns = plan.columns() if local else {}
    of_row = dict.fromkeys(sorted(set(wanted)), 0.0)
    of_client = dict.fromkeys(plan.owned[PERSONAL] if by_client else (), 0.0)
    samples = {OWN: draw, PERSONAL: draw and max(draw, LEAST)}
    taught, n, many = 0.0, max(plan.ids.size, 1), len(plan.models) > MANY
    passes = Passes(network, [*plan.models.values(), *([] if teachers is None else teachers.models)])
    for key, members in _by_key(plan, clients):
        x, y = clients.pool(key, on=on)
        whole = passes.on(x)
        shares = plan.shares
        if clients.local_test == "global":
            shares = np.repeat(np.bincount(y, minlength=clients.classes)[None, :] / max(y.size, 1), n, axis=0)
        if teachers is not None:
            right = mixture(teachers, whole).argmax(1) == y
            taught += 100.0 * float(right.mean()) * members.size / n
        for row, vector in plan.models.items():
            users = [(view, members[view.rows[members] == row]) for view in plan.views] if local else []
            owners = np.unique(np.concatenate([who for _, who in users])) if users else members[:0]
            if row not in of_row and not owners.size:
                continue
            single = many and row not in of_row and owners.size == 1
            if single:
                at = _drawn(y, shares[owners[0]], draw, streams, int(plan.ids[owners[0]]))
                scored = score(network, vector, x[at], y[at], clients.classes)
            else:
                scored = tally(whole.logits(vector), y, clients.classes)
            if row in of_row:
                of_row[row] += scored.accuracy * members.size / n
            for view, who in users:
                if who.size:
                    columns[f"{view.name}_local"][who] = proportional(scored, shares[who])
                    columns[f"{view.name}_prior_local"][who] = with_prior(
                        scored, shares[who], plan.shares[who], view.scale
                    )
        for name, models in plan.owned.items() if local else ():
            for who in sorted(models.keys() & set(members.tolist())):
                at = _drawn(y, shares[who], samples[name], streams, int(plan.ids[who]))
                scored = score(network, models[who], x[at], y[at], clients.classes)
                columns[f"{name}_local"][who] = proportional(scored, shares[who : who + 1])[0]
        alike = np.bincount(y, minlength=clients.classes) / max(y.size, 1)
        for who in of_client:
            at = _drawn(y, alike, samples[PERSONAL], streams, int(plan.ids[who]))
            scored = score(network, plan.owned[PERSONAL][who], x[at], y[at], clients.classes)
            of_client[who] += float(proportional(scored, alike[None, :])[0]) * members.size / n
        if local:
            columns["majority_local"][members] = majority(plan.counts[members], shares[members])
    return Pooled(of_row, of_client, taught if teachers is not None else None, columns)


def mixture(teachers: Teachers, on: Outputs) -> Float64:
    """(n, classes) p(c | x) = Σ_g weight_{g,c} p_g(c | x), renormalised over c.

    Of logits: ∝ Π_g p_g(c | x)^weight_{g,c}, with equal weights the softmax of the mean logits; a class that no
    teacher speaks of has p = 0.
    """
    if teachers.logits:
        mixed = np.float64(0.0) + sum(
            weight[None, :] * np.log(np.maximum(softmax(on.logits(vector)), 1e-300))
            for vector, weight in zip(teachers.models, teachers.weights, strict=True)
        )
        return softmax(np.where(teachers.weights.sum(0) > 0, mixed, -np.inf))
    out: Float64 = np.float64(0.0) + sum(
        weight[None, :] * softmax(on.logits(vector))
        for vector, weight in zip(teachers.models, teachers.weights, strict=True)
    )
    return np.asarray(out / np.maximum(out.sum(1, keepdims=True), 1e-300), np.float64)


def _by_key(plan: Plan, clients: TestBed[K]) -> list[tuple[K, IntVector]]:
    if isinstance(clients, Columns):
        return clients.by_transform(plan.ids)
    found: dict[K, list[int]] = {}
    for at, client in enumerate(plan.ids.tolist()):
        found.setdefault(clients.transform_key(client), []).append(at)
    return [(key, np.array(members, np.int64)) for key, members in found.items()]


def _drawn(y: IntVector, shares: Float64, draw: int, streams: Streams, client: int) -> IntVector:
    """Rows of the pool for one client's test: of each class its share of `draw`, at least one."""
    rng = streams("evaluate-own", client)
    out: list[IntVector] = []
    for c in np.flatnonzero(shares > 0):
        rows = np.flatnonzero(y == c)
        most = min(rows.size, int(np.ceil(shares[c] * draw))) if draw else rows.size
        out.append(np.sort(rng.permutation(rows)[:most]))
    return np.concatenate(out).astype(np.int64) if out else np.zeros(0, np.int64)
