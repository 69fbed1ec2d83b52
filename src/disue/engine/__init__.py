"""Carries out orders: trains these clients from these starts, and answers through the plain door."""

from disue.engine.engine import Engine
from disue.engine.memory import MemoryStore
from disue.engine.plain import PlainUploads

__all__ = ["Engine", "MemoryStore", "PlainUploads"]
