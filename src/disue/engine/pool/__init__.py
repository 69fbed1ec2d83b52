"""Worker processes, one thread each, that train the blocks of an exchange."""

from disue.engine.pool.pool import Pool

__all__ = ["Pool"]
