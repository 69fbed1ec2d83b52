"""The named data sets and the user's own arrays: one table from name to loader."""

from __future__ import annotations

from disue.data.sources.registry import NAMES, load

__all__ = ["NAMES", "load"]
