"""A few clients with short updates, whose ids are no positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from disue.attacks import Attack, Said, lies
from disue.core.streams import Streams

START = np.array([1.0, -2.0, 0.5, 3.0], np.float32)
MOVES = np.array([True, True, True, False])  # the last entry is tracked, not trained


def said(client: int, *update: float, inside: bool = False, survey: bool = False, moves: np.ndarray = MOVES) -> Said:
    start = START[: len(update)]
    end = (start + np.array(update, np.float32)).astype(np.float32)
    return Said(client, start, end, np.ones(1), start[None, :], moves[: len(update)], inside=inside, survey=survey)


def told(
    attack: Attack, answers: Sequence[Said], liars: Sequence[int], same: Mapping[int, int] | None = None, **more: object
) -> dict[int, np.ndarray]:
    """id → the update that is sent, of liars."""
    by_id = {one.id: one for one in answers}
    found = lies(
        attack,
        by_id,
        np.array(sorted(liars), np.int64),
        dict.fromkeys(by_id, 0) if same is None else same,
        Streams(0),
        3,
        **more,  # type: ignore[arg-type]
    )
    return {i: one.end.astype(np.float64) - one.start for i, one in found.items()}
