"""Checks of the expert's parameters: one sentence with the key, what is allowed and what came."""

from __future__ import annotations

import math
from collections.abc import Iterable

from disue.core.errors import UserError, unknown


def shown(value: object) -> str:
    """A value as a user would have written it."""
    return f'"{value}"' if isinstance(value, str) else f"{value}"


def number(key: str, value: object, low: float = -math.inf, high: float = math.inf, *, above: bool = False) -> None:
    """A finite number in [low, high]; `above`: greater than `low`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{key} must be a number, got {shown(value)}", key=key, found=value)
    inside = math.isfinite(value) and (value > low if above else value >= low) and value <= high
    if not inside:
        raise UserError(f"{key} must be {_allowed(low, high, above)}, got {value}", key=key, found=value)


def _allowed(low: float, high: float, above: bool) -> str:
    if math.isinf(low):
        return "finite" if math.isinf(high) else f"≤ {high:g}"
    if math.isinf(high):
        return f"> {low:g}" if above else f"≥ {low:g}"
    return f"in {'(' if above else '['}{low:g}, {high:g}]"


def whole(key: str, value: object, low: int = 0) -> None:
    """An integer, at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise UserError(f"{key} must be an integer ≥ {low}, got {shown(value)}", key=key, found=value)


def switch(key: str, value: object) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise UserError(f"{key} must be true or false, got {shown(value)}", key=key, found=value)


def name(key: str, value: object, known: Iterable[str]) -> None:
    """One of the known words."""
    words = list(known)
    if value not in words:
        raise unknown(key, str(value), words)
