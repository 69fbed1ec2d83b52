"""The model as a function of its flat vector: what methods and evaluation see of torch."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor, nn

from disue.core.checks import Array, Matrix, Vector
from disue.core.checks import vector as checked
from disue.core.errors import UserError, unknown
from disue.core.layout import Layout
from disue.models.flat import bind, load
from disue.models.innermost import innermost
from disue.models.table import KINDS

ACTIVATIONS = 8 * 2**20  # bytes of the largest layer's output in a batch; more leaves the cache


class TorchNetwork:
    """A module with `features` and `head`, of which only the layout is kept: weights come as vectors.

    `batch` is the number of samples in a pass without gradients; 0: as many as keep the largest layer's
    output within 8 MiB, at least 16 and at most 1,000. The module that is given is copied.
    """

    def __init__(
        self,
        module: nn.Module,
        input_shape: tuple[int, ...],
        input_kind: str = "image",
        *,
        device: str = "cpu",
        batch: int = 0,
        name: str = "",
    ) -> None:
        if input_kind not in KINDS:
            raise unknown("input kind", input_kind, KINDS)
        self._plain = copy.deepcopy(module).eval().to(device)
        self._bound = bind(copy.deepcopy(self._plain), name=name)
        self._shape, self._kind, self._device = tuple(input_shape), input_kind, device
        self.batch = batch or self._fitting_batch()

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (self._plain, self._shape, self._kind, self._device, self.batch, self.layout.model)

    @property
    def layout(self) -> Layout:
        return self._bound.layout

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def input_kind(self) -> str:
        return self._kind

    def logits(self, vector: Vector, inputs: Array) -> Matrix:
        """(n, classes)."""
        return self.both(vector, inputs)[0]

    def features(self, vector: Vector, inputs: Array) -> Matrix:
        """(n, features): what the head sees."""
        return self.both(vector, inputs)[1]

    def both(self, vector: Vector, inputs: Array) -> tuple[Matrix, Matrix]:
        """(logits, features) of one pass in evaluation mode, batch by batch."""
        if inputs.shape[1:] != self._shape:
            raise UserError(
                f"inputs: expected shape (n, {', '.join(map(str, self._shape))}), got {inputs.shape}",
                key="inputs",
                found=inputs.shape,
            )
        self._bound.set(checked("vector", vector, self.layout.d))
        logits = np.empty((len(inputs), self.layout.classes), np.float32)
        features = np.empty((len(inputs), self.layout.features), np.float32)
        with torch.inference_mode():
            for at in range(0, len(inputs), self.batch):
                rows = slice(at, at + self.batch)
                seen = self._bound.both(self.tensor(inputs[rows]))
                logits[rows], features[rows] = seen[0].cpu().numpy(), seen[1].cpu().numpy()
        return logits, features

    def forward(self, flat: Tensor, inputs: Tensor, train: bool = False, track: bool = False) -> tuple[Tensor, Tensor]:
        """(logits, features), differentiable in both arguments.

        With `train`, BatchNorm uses the batch's own statistics; those inside `flat` change only with
        `track`. Real inputs are cast to the type of `flat`, which may be float64.
        """
        if self._kind != "text":
            inputs = inputs.to(flat.dtype)
        return self._bound.call(flat, self._innermost(inputs), train, track)

    def module(self, vector: Vector) -> nn.Module:
        """A fresh module with these weights, in evaluation mode."""
        out = copy.deepcopy(self._plain)
        load(out, checked("vector", vector, self.layout.d))
        return out

    def tensor(self, inputs: Array) -> Tensor:
        """Inputs as the model takes them: token numbers as int64, all else as float32, on its device."""
        kind = np.int64 if self._kind == "text" else np.float32
        out = inputs.astype(kind, copy=not inputs.flags.writeable)
        return self._innermost(torch.from_numpy(np.ascontiguousarray(out)).to(self._device))

    def _innermost(self, inputs: Tensor) -> Tensor:
        """Images with their channels innermost on a CPU: only so is pooling vectorised, a third of the time."""
        if self._kind == "image" and inputs.ndim == 4 and inputs.device.type == "cpu":
            return innermost(inputs)
        return inputs

    def _fitting_batch(self) -> int:
        """How many samples fit the limit on activations, seen in one pass over zeros."""
        largest = 4 * math.prod(self._shape)

        def note(layer: nn.Module, given: object, out: object) -> None:
            nonlocal largest
            if isinstance(out, Tensor):
                largest = max(largest, out.numel() * out.element_size())

        handles = [layer.register_forward_hook(note) for layer in self._bound.module.modules()]
        try:
            with torch.inference_mode():
                self._bound.both(self.tensor(np.zeros((1, *self._shape), np.float32)))
        finally:
            for handle in handles:
                handle.remove()
        return max(16, min(1000, ACTIVATIONS // largest))


def _rebuilt(module: nn.Module, shape: tuple[int, ...], kind: str, device: str, batch: int, name: str) -> TorchNetwork:
    return TorchNetwork(module, shape, kind, device=device, batch=batch, name=name)
