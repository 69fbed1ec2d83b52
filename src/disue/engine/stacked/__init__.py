"""Trains a block of clients at once: one grouped convolution or batched product for all of them."""

from disue.engine.stacked.backend import BLOCK, Stacked

__all__ = ["BLOCK", "Stacked"]
