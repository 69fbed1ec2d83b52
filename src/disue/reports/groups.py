"""Who belongs together: the table of groups, the similarity matrix, and the labels that clients hold."""

from __future__ import annotations

import numpy as np

from disue.core.checks import Array, Float64, IntVector
from disue.reports.folder import RunRecord
from disue.reports.html import Cell, card, table
from disue.reports.images import similarity, strips
from disue.reports.sections import origin
from disue.reports.words import percent

MOST = 600  # clients in a matrix; of more, every so many
LISTED = 10  # groups in the table; the rest is folded away


def _membership(run: RunRecord) -> dict[int, int]:
    """client → group, as clients.csv has it at the end, else as the similarity was cut."""
    last = run.last_round("clients")
    if "client" in last and "group" in last:
        known = np.isfinite(last["group"]) & (last["group"] >= 0)
        return dict(
            zip(last["client"][known].astype(int).tolist(), last["group"][known].astype(int).tolist(), strict=True)
        )
    ids, of = run.arrays.get("similarity_ids"), run.arrays.get("similarity_groups")
    if ids is None or of is None or ids.shape != of.shape:
        return {}
    return dict(zip(ids.astype(int).tolist(), of.astype(int).tolist(), strict=True))


def _order(ids: Array, of: IntVector, most: int = MOST) -> tuple[IntVector, list[int], list[str]]:
    """Positions ordered by group and id, thinned to `most`; the sizes and names of the groups."""
    order = np.lexsort((ids, of))
    if order.size > most:
        order = order[np.linspace(0, order.size - 1, most).round().astype(int)]
    numbers, counts = np.unique(of[order], return_counts=True)
    return order.astype(np.int64), [int(c) for c in counts], ["–" if g < 0 else str(int(g)) for g in numbers]


def matrix(run: RunRecord, slug: str) -> str:
    """Cosine similarity, ordered by group."""
    values, ids = run.arrays.get("similarity"), run.arrays.get("similarity_ids")
    if values is None or ids is None or values.ndim != 2 or values.shape != (ids.size, ids.size):
        return ""
    given = run.arrays.get("similarity_groups")
    known = _membership(run)
    of = given.astype(np.int64) if given is not None and given.shape == ids.shape else None
    if of is None:
        of = np.array([known.get(int(i), -1) for i in ids], np.int64)
    order, sizes, names = _order(ids, of)
    ordered = np.asarray(values, np.float64)[np.ix_(order, order)]
    inside, across = _contrast(ordered, of[order])
    found = f"{len(sizes)} groups of {ids.size} clients"
    if inside is not None and across is not None:
        found += f"; mean cosine {inside:.2f} inside groups, {across:.2f} between them".replace("-", "−")
    body = similarity(f"{slug}sim", ordered, sizes, names, "Similarity of clients, ordered by group", found)
    return card("Who is like whom", f"{found}.", body)


def _contrast(values: Float64, of: IntVector) -> tuple[float | None, float | None]:
    same = of[:, None] == of[None, :]
    off = ~np.eye(of.size, dtype=bool)
    pick = [values[same & off], values[~same]]
    means = [float(np.nanmean(p)) if p.size and np.isfinite(p).any() else None for p in pick]
    return means[0], means[1]


def labels(run: RunRecord, slug: str) -> str:
    """The labels each client holds, a thin row each, clients ordered by group."""
    counts, ids = run.arrays.get("labels"), run.arrays.get("label_ids")
    if counts is None or ids is None or counts.ndim != 2 or counts.shape[0] != ids.size or not ids.size:
        return ""
    known = _membership(run)
    of = np.array([known.get(int(i), -1) for i in ids], np.int64)
    order, sizes, names = _order(ids, of)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    words = [str(c) for c in range(counts.shape[1])]
    top = float(shares.max(1).mean()) * 100
    kinds = float((counts > 0).sum(1).mean())
    found = f"On average a client holds {kinds:.1f} of {counts.shape[1]} classes"
    found += f", and {top:.0f} % of its samples are of one class"
    if ids.size > MOST:
        found += f". Drawn: {MOST} of {ids.size:,} clients, evenly along that order"
    body = strips(
        f"{slug}labels",
        np.asarray(shares[order], np.float64),
        sizes,
        names,
        words,
        "Label shares of clients, ordered by group",
        found,
    )
    return card("Labels by group", f"A row is a client, a column a class; darker is more. {found}.", body)


def listing(run: RunRecord) -> str:
    """The groups at the end."""
    last = run.last_round("groups")
    if "group" not in last:
        return ""
    members, samples = _column(last, "members"), _column(last, "samples")
    accuracy, parents = _column(last, "group_local"), _column(last, "parent")
    counts, ids = run.arrays.get("labels"), run.arrays.get("label_ids")
    known = _membership(run)
    rows = []
    order = sorted(range(members.size), key=lambda at: (-np.nan_to_num(members[at]), last["group"][at]))
    for at in order:
        number = int(last["group"][at])
        born = f"from group {int(parents[at])}" if np.isfinite(parents[at]) and parents[at] >= 0 else ""
        main = ("–", "")
        if counts is not None and ids is not None and counts.ndim == 2 and counts.shape[0] == ids.size:
            main = _main(counts[[known.get(int(i), -1) == number for i in ids]].sum(0))
        held = f"{_whole(samples[at])}\u00a0samples" if np.isfinite(samples[at]) else ""
        right = float(accuracy[at]) if np.isfinite(accuracy[at]) else None
        rows.append(
            [
                Cell(f"Group\u00a0{number}", born),
                Cell(_whole(members[at]), held),
                Cell(*main),
                Cell(percent(right), strong=True),
            ]
        )
    head = ["Group", "clients", "main classes", "accuracy,\u00a0%"]
    body = table(head, rows[:LISTED])
    if len(rows) > LISTED:
        rest = table(head, rows[LISTED:])
        body += f'<details class="more"><summary>{len(rows) - LISTED} more groups</summary>{rest}</details>'
    why = f"After round {int(last['round'][0])}. Accuracy: the group's model on its members' own tests, their mean."
    return card("Groups", why, body, origin=origin(run))


def _main(counts: Array) -> tuple[str, str]:
    """The classes that make up most of a group's data, largest first, and their shares."""
    total = counts.sum()
    if not total > 0:
        return "–", ""
    top = [int(c) for c in np.argsort(-counts, kind="stable")[:3] if counts[c] / total >= 0.1]
    shares = " · ".join(f"{100 * counts[c] / total:.0f}" for c in top)
    return " · ".join(map(str, top)) or "mixed", f"{shares}\u00a0%" if top else ""


def _whole(value: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else "–"


def _column(table_: dict[str, Float64], name: str) -> Float64:
    """A column, or NaN where it is missing."""
    rows = len(next(iter(table_.values()), np.zeros(0)))
    return table_.get(name, np.full(rows, np.nan))
