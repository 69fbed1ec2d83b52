"""The compiled code for one network: its memory, and calls with tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from disue.core.checks import IntVector
from disue.core.clients import Sgd
from disue.engine.native.chain import Layer
from disue.engine.native.library import Unavailable, library

NAMES = {torch.float32: "float", torch.float64: "double"}


class Trainer:
    """Trains vectors (d,) of one dtype in place. `flat`, `gradient`, `velocity` are its own tensors, re-used.

    Data are (n, *shape) of that dtype and labels (n,) of int64, contiguous; `runs` the stretches that move.
    """

    def __init__(self, layers: Sequence[Layer], d: int, dtype: torch.dtype) -> None:
        self.dtype, self.d = dtype, d
        self.layers = np.array([layer.numbers() for layer in layers], np.int64)
        self.flat, self.gradient, self.velocity = (torch.zeros(d, dtype=dtype) for _ in range(3))
        self._code = library(NAMES[dtype])
        self._plan: int | None = None
        self._room = 0

    def __del__(self) -> None:
        if getattr(self, "_plan", None):
            self._code.disue_free(self._plan)

    def phase(
        self,
        inputs: Tensor,
        labels: Tensor,
        order: IntVector,
        sizes: IntVector,
        runs: IntVector,
        sgd: Sgd,
        offset: Tensor | None = None,
        pull: tuple[float, Tensor] | None = None,
    ) -> float:
        """All steps of a phase on `flat`; the sum of the losses of the samples seen. `order` holds their rows.

        With `pull` = (a, b) every clipped gradient gets + a · weights + b, b of shape (d,).
        """
        a, b = (0.0, None) if pull is None else (pull[0], pull[1].to(self.dtype).contiguous())
        self._make(int(sizes.max(initial=1)))
        self.velocity.zero_()
        done: float = self._code.disue_phase(
            self._plan,
            self.flat.data_ptr(),
            inputs.data_ptr(),
            labels.data_ptr(),
            order.ctypes.data,
            sizes.ctypes.data,
            len(sizes),
            None if offset is None else offset.data_ptr(),
            runs.ctypes.data,
            len(runs) // 2,
            _numbers(sgd).ctypes.data,
            a,
            None if b is None else b.data_ptr(),
            self.gradient.data_ptr(),
            self.velocity.data_ptr(),
        )
        return done

    def slope(
        self,
        inputs: Tensor,
        labels: Tensor,
        order: IntVector,
        runs: IntVector,
        clip: float = 0.0,
        offset: Tensor | None = None,
    ) -> float:
        """The clipped gradient of one batch's mean loss in `gradient`, zero outside the runs; the losses' sum."""
        self._make(len(order))
        done: float = self._code.disue_gradient(
            self._plan,
            self.flat.data_ptr(),
            inputs.data_ptr(),
            labels.data_ptr(),
            order.ctypes.data,
            len(order),
            None if offset is None else offset.data_ptr(),
            runs.ctypes.data,
            len(runs) // 2,
            clip,
            self.gradient.data_ptr(),
        )
        return done

    def step(self, way: Tensor, runs: IntVector, sgd: Sgd) -> None:
        """Weight decay, momentum and the step along `way` (d,); `velocity` is the caller's to set to zero."""
        self._code.disue_step(
            self.flat.data_ptr(),
            way.data_ptr(),
            self.velocity.data_ptr(),
            runs.ctypes.data,
            len(runs) // 2,
            _numbers(sgd).ctypes.data,
        )

    def _make(self, batch: int) -> None:
        if batch <= self._room:
            return
        if self._plan:
            self._code.disue_free(self._plan)
        self._plan = self._code.disue_plan(len(self.layers), self.layers.ctypes.data, batch, self.d)
        self._room = batch if self._plan else 0
        if not self._plan:
            raise MemoryError(f"no memory for batches of {batch} samples")


def _numbers(sgd: Sgd) -> np.ndarray:
    return np.array([sgd.lr, sgd.clip, sgd.weight_decay, sgd.momentum])


__all__ = ["NAMES", "Trainer", "Unavailable"]
