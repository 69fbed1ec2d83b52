"""One number from many rounds: the last value, the mean of the last ten rounds, the round that reached a level.

The best over rounds is never taken: it rises with noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

RUN = 3  # evaluations in a row whose mean must reach a level


def _present(row: Mapping[str, float | None], name: str) -> bool:
    value = row.get(name)
    return value is not None and not math.isnan(value)


def _window(rows: Sequence[Mapping[str, float | None]], k: int) -> list[Mapping[str, float | None]]:
    end = max((row["round"] or 0 for row in rows), default=0)
    first = max(end - k, 0 if end else -1)  # row 0 stands before all training: it is none of the rounds
    return [row for row in rows if (row["round"] or 0) > first]


def last(rows: Sequence[Mapping[str, float | None]], k: int = 10) -> dict[str, dict[str, float]]:
    """`final` and `last10` of every metric of the last k rounds.

    rows    one mapping per round, with "round"; a metric that was not evaluated is absent, None or NaN
    final   the value of the last evaluation      last10  the mean over the evaluations of the last k rounds

    >>> last([{"round": 1, "a": 1.0}, {"round": 2, "a": 4.0}, {"round": 3}], k=2)
    {'a': {'final': 4.0, 'last10': 4.0}}
    """
    window = sorted(_window(rows, k), key=lambda row: row["round"] or 0)
    out: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(name for row in window for name in row if name != "round"):
        found = [float(row[name] or 0.0) for row in window if _present(row, name)]
        if found:
            out[name] = {"final": found[-1], "last10": math.fsum(found) / len(found)}
    return out


def evaluations(rows: Sequence[Mapping[str, float | None]], name: str, k: int = 10) -> int:
    """How many evaluations of a metric the mean of the last k rounds rests on."""
    return sum(_present(row, name) for row in _window(rows, k))


def rounds_to(rounds: Sequence[int], values: Sequence[float], level: float) -> int | None:
    """The first evaluated round at `level` or above from which three evaluations in a row have a mean of as much.

    >>> rounds_to([0, 10, 20, 30, 40], [10.0, 40.0, 52.0, 48.0, 60.0], 50.0)
    20
    """
    found = [(r, v) for r, v in sorted(zip(rounds, values, strict=True)) if not math.isnan(v)]
    for at in range(len(found) - RUN + 1):
        if found[at][1] >= level and math.fsum(v for _, v in found[at : at + RUN]) / RUN >= level:
            return found[at][0]
    return None
