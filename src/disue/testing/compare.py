"""Where two states part, in words: the first place, with both values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from disue.core.checks import Array
from disue.testing.play import Seen

Names = Mapping[int, int]
NO_NAMES: Names = {}


def difference(ours: Any, theirs: Any, path: str = "state", names: Names = NO_NAMES) -> str:
    """ "" where both are the same to the bit; else where they first part. `names` renames the clients of `ours`."""
    if type(ours) is not type(theirs):
        return f"{path} is of type {type(ours).__name__} and {type(theirs).__name__}"
    if isinstance(ours, np.ndarray):
        return _arrays(renamed(ours, names), theirs, path)
    if isinstance(ours, tuple):
        if len(ours) != len(theirs):
            return f"{path} has {len(ours)} and {len(theirs)} items"
        pairs = ((f"{path}[{at}]", a, b) for at, (a, b) in enumerate(zip(ours, theirs, strict=True)))
        return _first(pairs, names)
    if isinstance(ours, Mapping):
        mine, yours = [_name(key, names) for key in ours], list(theirs)
        if mine != yours:
            return f"{path} has the keys {_some(mine)} and {_some(yours)}"
        return _first(
            ((f"{path}[{key!r}]", a, b) for key, a, b in zip(mine, ours.values(), theirs.values(), strict=True)), names
        )
    if dataclasses.is_dataclass(ours) and not isinstance(ours, type):
        held = [f.name for f in dataclasses.fields(ours)]
        return _first(((f"{path}.{name}", getattr(ours, name), getattr(theirs, name)) for name in held), names)
    same = _name(ours, names) == theirs or (ours != ours and theirs != theirs)
    return "" if same else f"{path} is {ours!r} and {theirs!r}"


def parted(ours: Sequence[Seen], theirs: Sequence[Seen], names: Names = NO_NAMES) -> str:
    """Where two traces first part: states, then clients' memories; "" where they are the same to the bit."""
    for mine, yours in zip(ours, theirs, strict=True):
        why = difference(mine.state, yours.state, "state", names) or difference(
            dict(mine.memories), dict(yours.memories), "memory", names
        )
        if why:
            return f"after round {mine.round} {why}"
    return ""


def renamed(value: Array, names: Names) -> Array:
    """Integers that are old ids become the new ones."""
    if not names or value.dtype.kind not in "iu":
        return value
    out = value.copy()
    for old, new in names.items():
        out[value == old] = new
    return out


def _first(parts: Any, names: Names) -> str:
    return next((why for path, a, b in parts if (why := difference(a, b, path, names))), "")


def _name(value: Any, names: Names) -> Any:
    return names.get(value, value) if isinstance(value, int) and not isinstance(value, bool) else value


def _arrays(ours: Array, theirs: Array, path: str) -> str:
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return f"{path} is {ours.dtype} {ours.shape} and {theirs.dtype} {theirs.shape}"
    if ours.tobytes() == theirs.tobytes():
        return ""
    size = ours.dtype.itemsize
    one, other = (np.frombuffer(value.tobytes(), np.uint8).reshape(-1, size) for value in (ours, theirs))
    apart = np.flatnonzero((one != other).any(axis=1))
    at = np.unravel_index(int(apart[0]), ours.shape)
    where = f"[{', '.join(str(int(i)) for i in at)}]" if at else ""
    return f"{path}{where} is {ours[at]} and {theirs[at]} ({apart.size} of {ours.size} entries differ)"


def _some(values: Sequence[Any], most: int = 6) -> str:
    return ", ".join(map(str, values[:most])) + (" …" if len(values) > most else "") or "none"
