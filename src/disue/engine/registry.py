"""The backends by name, made where they are needed: in the main process or in a worker."""

from __future__ import annotations

from disue.core.errors import unknown
from disue.engine.interface import Backend

NAMES = ("loop", "lean", "stacked", "native")


def make(name: str, block: int = 0) -> Backend:
    """A backend by name; `block` is the number of clients at once where it stacks them (0: its default)."""
    if name == "loop":
        from disue.engine.loop import Loop

        return Loop()
    if name in ("lean", "lean-plain"):
        from disue.engine.lean import Lean

        return Lean(channels_last=None if name == "lean" else False)
    if name == "stacked":
        from disue.engine.stacked import BLOCK, Stacked

        return Stacked(block or BLOCK)
    if name == "native":
        from disue.engine.native import Native

        return Native()
    raise unknown("engine.backend", name, NAMES)
