"""Carries out orders: trains these clients from these starts, and answers through the plain door.

What is named here is loaded when it is asked for: a site's process that only speaks the protocol does without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from disue.engine.engine import Engine
    from disue.engine.memory import MemoryStore
    from disue.engine.plain import PlainUploads

WHERE = {"Engine": "engine", "MemoryStore": "memory", "PlainUploads": "plain"}


def __getattr__(name: str) -> Any:
    if name not in WHERE:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"disue.engine.{WHERE[name]}"), name)


__all__ = ["Engine", "MemoryStore", "PlainUploads"]
