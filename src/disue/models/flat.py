"""A module's tensors as one flat vector, and a vector as a module's tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from disue.core.checks import Array, Vector
from disue.core.errors import UserError
from disue.core.layout import Entry, Layout
from disue.models.split import both, head_of


def entries_of(module: nn.Module) -> tuple[Entry, ...]:
    """What stands in the module's vector: its parameters, then its float buffers, in the order of its state.

    Buffers are statistics, and so are frozen parameters: neither is trained. Counters (integers) and
    buffers outside the state have no place in a vector.
    """
    return tuple(
        Entry(name, tuple(tensor.shape), "weight" if tensor.requires_grad else "statistic", owner)
        for name, tensor, owner in _tensors(module)
    )


def layout_of(module: nn.Module, name: str = "") -> Layout:
    """The layout of a module's vector; `name` is what messages call the model."""
    head = head_of(module)
    return Layout(
        entries_of(module),
        f"{head.name}.weight",
        f"{head.name}.bias",
        head.positive,
        name or type(module).__name__.lower(),
    )


def flatten(module: nn.Module) -> Vector:
    """The module's tensors as one float32 vector (d,), a copy."""
    parts = [tensor.detach().to("cpu", torch.float32).reshape(-1) for _, tensor, _ in _tensors(module)]
    out: Vector = np.ascontiguousarray(torch.cat(parts).numpy()) if parts else np.zeros(0, np.float32)
    return out


def load(module: nn.Module, vector: Array) -> None:
    """Copies a vector (d,) into the module's tensors, cast to their type."""
    tensors = [tensor for _, tensor, _ in _tensors(module)]
    d = sum(tensor.numel() for tensor in tensors)
    if vector.shape != (d,):
        raise UserError(
            f"vector: expected {d:,} numbers for {type(module).__name__}, got shape {vector.shape}",
            key="vector",
            found=vector.shape,
        )
    at = 0
    with torch.no_grad():
        for tensor in tensors:
            piece = np.array(vector[at : at + tensor.numel()])  # a copy: torch refuses read-only arrays
            tensor.copy_(torch.from_numpy(piece).view(tensor.shape))
            at += tensor.numel()


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor, str]]:
    """(name, tensor, type of its owner) of every tensor of the vector, in order."""
    state = module.state_dict(keep_vars=True)
    for name, weight in module.named_parameters():
        yield name, _real(name, weight), _owner(module, name)
    for name, buffer in module.named_buffers():
        if name in state and (buffer.is_floating_point() or buffer.is_complex()):
            yield name, _real(name, buffer), _owner(module, name)


def _real(name: str, tensor: Tensor) -> Tensor:
    if tensor.dtype not in (torch.float32, torch.float64):
        raise UserError(
            f"model: its tensor {name} is {tensor.dtype}; only float32 and float64 are offered",
            key="model",
            found=name,
        )
    return tensor


def _owner(module: nn.Module, name: str) -> str:
    return type(module.get_submodule(name.rpartition(".")[0])).__name__


class _Pair(nn.Module):
    """`both` as a module, for `functional_call`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.of = module

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return both(self.of, inputs)


class FlatModule:
    """A module whose tensors are slices of one flat tensor.

    module      writes to `flat` and to the module's tensors are the same writes, in both directions
    flat        (d,) float32 or float64, in the order of `layout`; it requires no gradient itself
    parameters  the trained tensors, in the order of `layout`: gradients are taken with respect to these
    """

    def __init__(self, module: nn.Module, layout: Layout, flat: Tensor) -> None:
        self.module, self.layout, self.flat = module, layout, flat
        self._pair = _Pair(module)
        self._entries = tuple((e.name, layout.slices[e.name], e.shape, e.kind == "weight") for e in layout.entries)
        weights = dict(module.named_parameters())
        self.parameters: tuple[nn.Parameter, ...] = tuple(
            weights[name] for name, _, _, trained in self._entries if trained
        )
        self._counters = {name: tensor for name, tensor in module.named_buffers() if name not in layout.slices}

    def vector(self) -> Vector:
        """The weights as they are now, float32 (d,), a copy."""
        out: Vector = self.flat.detach().to("cpu", torch.float32, copy=True).numpy()
        return out

    def set(self, vector: Array) -> None:
        """Copies a vector (d,) in."""
        if vector.shape != (self.layout.d,):
            raise UserError(
                f"vector: expected {self.layout.d:,} numbers for {self.layout.model}, got shape {vector.shape}",
                key="vector",
                found=vector.shape,
            )
        with torch.no_grad():
            self.flat.copy_(torch.from_numpy(np.array(vector)))

    def both(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, features) under the module's own tensors; in train mode BatchNorm writes its statistics."""
        return both(self.module, inputs)

    def tensors(self, flat: Tensor, track: bool = False) -> dict[str, Tensor]:
        """name → view of `flat` (d,), and copies of the counters: all that `functional_call` needs.

        Weights are differentiable in `flat`, statistics are constants. With `track` they share memory
        with `flat`, so that BatchNorm in train mode writes into it; without, `flat` stays as it is.
        """
        out: dict[str, Tensor] = {}
        for name, where, shape, trained in self._entries:
            if trained:
                out[name] = flat[where].reshape(shape)
            else:  # .data has a version count of its own: autograd does not mind a statistic that changes
                out[name] = flat.data[where].view(shape) if track else flat.detach()[where].reshape(shape).clone()
        out.update({name: counter.clone() for name, counter in self._counters.items()})
        return out

    def call(self, flat: Tensor, inputs: Tensor, train: bool = False, track: bool = False) -> tuple[Tensor, Tensor]:
        """(logits, features) under another vector, differentiable in `flat` and `inputs`."""
        named: Mapping[str, Tensor] = {f"of.{name}": tensor for name, tensor in self.tensors(flat, track).items()}
        before = self.module.training
        if before != train:  # it walks through all layers, which a small model notices
            self._pair.train(train)
        try:
            logits, features = functional_call(self._pair, dict(named), (inputs,))
        finally:
            if before != train:
                self._pair.train(before)
        return logits, features


def bind(module: nn.Module, dtype: torch.dtype = torch.float32, name: str = "") -> FlatModule:
    """Moves the module's tensors into one flat buffer and makes them views of it. Takes the module over."""
    module.to(dtype)
    layout = layout_of(module, name)
    device = next((tensor.device for _, tensor, _ in _tensors(module)), torch.device("cpu"))
    flat = torch.empty(layout.d, dtype=dtype, device=device)
    with torch.no_grad():
        for label, tensor, _ in list(_tensors(module)):
            view = flat[layout.slices[label]].view(tensor.shape)
            view.copy_(tensor)
            tensor.data = view
    return FlatModule(module, layout, flat)
