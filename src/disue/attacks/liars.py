"""Who lies: drawn once, from a stream of their own, whatever the cohorts and whatever process asks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from disue.core.checks import IntVector
from disue.core.errors import UserError
from disue.core.streams import Streams

LIARS = "liars"  # the stream


def draw(
    streams: Streams,
    ids: IntVector,
    share: float,
    target: int = -1,
    truth: Mapping[int, int] | None = None,
    *,
    mixed: bool = False,
) -> IntVector:
    """Ascending ids of round(share · n) liars of the n clients, or of those planted in group `target`.

    mixed  the target is attacked from outside: liars are drawn of all clients, at least one of the target's members
           (who knows what such members send) and one other among them

    A larger share has the liars of a smaller one and more.
    """
    known = np.sort(ids)
    inside = known[:0] if target < 0 else _members(known, target, truth)
    pool = known if mixed or target < 0 else inside
    n = round(share * pool.size)
    if share > 0 and n == 0:
        raise UserError(f"attack.share is {share:g}: that is none of {pool.size} clients; raise it", key="attack.share")
    drawn = streams(LIARS).permutation(pool)
    if not (mixed and n):
        return np.sort(drawn[:n])
    is_in = np.isin(drawn, inside)
    if n < 2 or is_in.all():
        why = "all clients belong to it" if is_in.all() else "raise attack.share"
        raise UserError(
            f"attack.target = {target} is attacked by at least two liars, one of its members and one other: {why}",
            key="attack.share",
        )
    order = np.concatenate([np.flatnonzero(is_in)[:1], np.flatnonzero(~is_in)[:1]])
    first = np.concatenate([drawn[order], np.delete(drawn, order)])
    return np.sort(first[:n])


def _members(ids: IntVector, target: int, truth: Mapping[int, int] | None) -> IntVector:
    if truth is None:
        raise UserError(
            f"attack.target is {target}, and nothing is planted in this partition: take a [partition] with groups, or "
            "leave attack.target out",
            key="attack.target",
            found=target,
        )
    groups = np.array([truth.get(i, -1) for i in ids.tolist()], np.int64)
    if not (groups == target).any():
        named = ", ".join(str(g) for g in np.unique(groups[groups >= 0]).tolist())
        raise UserError(
            f"attack.target is {target}, and the planted groups are {named}", key="attack.target", found=target
        )
    out: IntVector = ids[groups == target]
    return out
