"""Layers that hold one set of weights per client, and a module made of them.

Images of a block lie as (batch, clients · channels, height, width), so a convolution with one group per
client serves all of them, and pooling, ReLU and whatever else works channel by channel needs no change.
Behind the first `Flatten` or `Linear` they lie as (clients, batch, features).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PLAIN = (nn.ReLU, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.Identity, nn.Tanh, nn.Sigmoid, nn.GELU)
Weights = Mapping[str, Tensor]  # name → (clients, *shape): the active clients' tensors


class Held:
    """Where the layers of a stacked module find the weights of the pass that is running."""

    def __init__(self) -> None:
        self.weights: Weights = {}
        self.clients = 0


class _Layer(nn.Module):
    def __init__(self, name: str, of: nn.Module, held: Held) -> None:
        super().__init__()
        self.held, self.prefix = held, f"{name}." if name else ""
        self.biased = getattr(of, "bias", None) is not None

    def weight_of(self) -> Tensor:
        return self.held.weights[f"{self.prefix}weight"]

    def bias_of(self) -> Tensor | None:
        return self.held.weights[f"{self.prefix}bias"] if self.biased else None


class StackedConv(_Layer):
    """A convolution over (batch, clients · channels, …), one group per client (times its own groups)."""

    def __init__(self, name: str, of: nn.Conv1d | nn.Conv2d, held: Held) -> None:
        super().__init__(name, of, held)
        self.run = F.conv2d if isinstance(of, nn.Conv2d) else F.conv1d
        self.stride, self.padding, self.dilation, self.groups = of.stride, of.padding, of.dilation, of.groups

    def forward(self, inputs: Tensor) -> Tensor:
        weight, bias = self.weight_of(), self.bias_of()
        out: Tensor = self.run(
            inputs,
            weight.flatten(0, 1),
            None if bias is None else bias.flatten(),
            self.stride,
            self.padding,
            self.dilation,
            self.groups * self.held.clients,
        )
        return out


class StackedLinear(_Layer):
    """A linear layer over (clients, batch, features), or over (batch, clients · features)."""

    def forward(self, inputs: Tensor) -> Tensor:
        weight, bias = self.weight_of(), self.bias_of()
        each = by_client(inputs, self.held.clients)
        if bias is None:
            return torch.bmm(each, weight.transpose(1, 2))
        return torch.baddbmm(bias[:, None, :], each, weight.transpose(1, 2))


class StackedNorm(_Layer):
    """Group normalisation, each client's groups by themselves."""

    def __init__(self, name: str, of: nn.GroupNorm, held: Held) -> None:
        super().__init__(name, of, held)
        self.groups, self.eps, self.affine = of.num_groups, of.eps, of.affine

    def forward(self, inputs: Tensor) -> Tensor:
        weight, bias = (self.weight_of().flatten(), self.held.weights[f"{self.prefix}bias"].flatten())
        return F.group_norm(inputs, self.groups * self.held.clients, weight, bias, self.eps)


class StackedFlatten(nn.Module):
    """(batch, clients · channels, …) to (clients, batch, features); what is flat already stays."""

    def __init__(self, held: Held, flat: bool) -> None:
        super().__init__()
        self.held, self.flat = held, flat

    def forward(self, inputs: Tensor) -> Tensor:
        if self.flat:
            return inputs
        batch, clients = inputs.shape[0], self.held.clients
        return inputs.reshape(batch, clients, -1).transpose(0, 1)


def by_client(values: Tensor, clients: int) -> Tensor:
    """(clients, batch, features), from that or from (batch, clients · features)."""
    if values.ndim == 3:
        return values
    return values.reshape(values.shape[0], clients, -1).transpose(0, 1)


def stacked_module(module: nn.Module, flat: bool, held: Held) -> nn.Module | str:
    """A copy of the module with every layer that has weights replaced; or why there is none.

    flat  inputs are (clients, batch, features) from the start
    """
    out = copy.deepcopy(module)
    for name, layer in list(out.named_modules()):
        fresh: nn.Module
        if isinstance(layer, nn.Conv1d | nn.Conv2d) and layer.padding_mode == "zeros":
            fresh = StackedConv(name, layer, held)
        elif isinstance(layer, nn.Linear):
            fresh = StackedLinear(name, layer, held)
        elif isinstance(layer, nn.GroupNorm) and layer.affine:
            fresh = StackedNorm(name, layer, held)
        elif isinstance(layer, nn.Flatten) and layer.start_dim == 1 and layer.end_dim == -1:
            fresh = StackedFlatten(held, flat)
        elif _own_tensors(layer):
            return f"its layer {name or 'at the top'} ({type(layer).__name__}) has no stacked form"
        else:
            continue
        parent, _, last = name.rpartition(".")
        setattr(out.get_submodule(parent), last, fresh)
    return out


def _own_tensors(layer: nn.Module) -> bool:
    own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
    return bool(own)
