"""What a failed check says."""

from __future__ import annotations

from typing import Any

import numpy as np

from disue.core import tree
from disue.core.layout import Layout
from disue.testing.play import Bed, Seen


def require(holds: bool, sentence: str) -> None:
    """Raises unless `holds`."""
    if not holds:
        raise AssertionError(sentence)


def alike(why: str, claim: str) -> None:
    """Raises where `why` says how two things differ that the claim calls the same."""
    require(not why, f"{claim}: {why}")


def sound(bed: Bed, seen: Seen) -> None:
    """What holds after every round of every method: a finite state, whole groups, models to hand out."""
    require(not bed.dropped, next(iter(bed.dropped.values()), ""))
    arrays, _ = tree.take(seen.state)
    for path, value in arrays.items():
        finite = value.dtype.kind != "f" or bool(np.isfinite(value).all())
        require(finite, f"after round {seen.round} {path} is not finite")
    whole(bed, seen)
    served(bed, seen.state, seen.round)


def whole(bed: Bed, seen: Seen) -> None:
    """The groups partition the clients: each once, in a group that exists, and none that is no client."""
    groups, known, at = seen.groups, bed.world.census.ids, f"after round {seen.round}"
    ids, numbers = groups.ids, groups.numbers
    require(groups.of.shape == ids.shape, f"{at} {ids.size} clients have {groups.of.size} groups")
    twice = np.unique(ids).size != ids.size
    require(not twice, f"{at} a client is in two groups: the ids are {ids.tolist()}")
    strange = ids[~np.isin(ids, known)]
    require(not strange.size, f"{at} the groups hold {_first(strange)}, which is no client's id (a position?)")
    nowhere = groups.of[~np.isin(groups.of, numbers)]
    require(not nowhere.size, f"{at} a client is in group {_first(nowhere)}, and groups are {numbers.tolist()}")
    require(np.unique(numbers).size == numbers.size, f"{at} a group's number occurs twice: {numbers.tolist()}")
    lost = sorted(seen.answered - set(ids.tolist()))
    require(not lost, f"{at} client {lost[0] if lost else ''} has answered and is in no group")
    rows = getattr(seen.state, "models", None)
    if rows is not None:
        require(len(rows) == numbers.size, f"{at} there are {len(rows)} group models for {numbers.size} groups")


def served(bed: Bed, state: Any, round: int) -> None:
    """Everybody can be handed a model, also who was never asked."""
    ids, layout = bed.world.census.ordered, bed.world.layout
    found, at = bed.method.serve(bed.world, state, ids), f"after round {round}"
    models = found.models
    fits = models.ndim == 2 and models.shape[1] == layout.d and models.dtype == np.float32
    require(fits, f"{at} what is served is {models.dtype} {models.shape}, expected float32 (m, {layout.d})")
    require(bool(np.isfinite(models).all()), f"{at} a model that is served is not finite")
    for name in ("receives", "group"):
        rows = getattr(found, name)
        if rows is not None:
            right = rows.shape == ids.shape and bool(((rows >= 0) & (rows < len(models))).all())
            require(right, f"{at} serve.{name} is no row of its {len(models)} models for each client: {rows}")


def statistics(layout: Layout) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(d,) the entries that follow the data without a gradient."""
    out = np.zeros(layout.d, bool)
    for entry in layout.entries:
        out[layout.slices[entry.name]] = entry.kind == "statistic"
    return out


def _first(values: Any) -> str:
    return str(values[0]) if len(values) else ""
