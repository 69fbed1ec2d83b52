"""Chains of convolution, ReLU, 2×2 max pool and linear layers in compiled code, where a compiler is at hand."""

from disue.engine.native.backend import Native

__all__ = ["Native"]
