"""Clustered federated learning with a distilled universal expert."""

from disue._version import __version__

__all__ = ["__version__"]
