"""Standing groups against the planted truth, and figures by group."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from disue.core.checks import Float64, IntVector
from disue.core.groups import UNKNOWN, Groups


def recovery(groups: Groups, truth: Mapping[int, int] | None, ids: IntVector) -> dict[str, float]:
    """`groups` (that hold any of `ids`), and `ari`, `ami` against the truth (id → group) where there is one.

    A client that was never placed takes no part; their number is `unplaced`. AMI takes the arithmetic
    average. Both are 1 for the same division under any names, about 0 for a random one.
    """
    of = groups.at(ids)
    placed = of != UNKNOWN
    out = {"groups": float(np.unique(of[placed]).size), "unplaced": float((~placed).sum())}
    pairs = zip(ids[placed].tolist(), of[placed].tolist(), strict=True)
    known = [(group, truth[client]) for client, group in pairs if truth and client in truth]
    if len(known) > 1:
        from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

        found, planted = zip(*known, strict=True)
        out["ari"] = float(adjusted_rand_score(planted, found))
        out["ami"] = float(adjusted_mutual_info_score(planted, found, average_method="arithmetic"))
    return out


def by_group(groups: Groups, ids: IntVector, values: Float64) -> dict[int, float]:
    """The mean of a clients' column (n,) over each group's members; groups without a value are left out."""
    of = groups.at(ids)
    out: dict[int, float] = {}
    for number in groups.numbers.tolist():
        found = values[(of == number) & ~np.isnan(values)]
        if found.size:
            out[int(number)] = float(found.mean())
    return out
