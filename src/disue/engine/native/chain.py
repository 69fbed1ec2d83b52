"""Which networks the compiled code trains, and how it is told of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from disue.core.layout import Layout
from disue.core.world import Network
from disue.models.chain import Chain

DEEPEST = 16  # convolutions, and linear layers, of a network


@dataclass
class Layer:
    """One convolution or linear layer with what follows it. Offsets are into the flat vector; bias −1: none."""

    conv: int
    cin: int
    h: int
    w: int
    cout: int
    kh: int
    kw: int
    ph: int
    pw: int
    pool: int
    relu: int
    weight: int
    bias: int

    def numbers(self) -> list[int]:
        """In the order of the structure in kernel.cpp."""
        return list(vars(self).values())


def layers_of(network: Network) -> list[Layer] | str:
    """The network's layers, or why the compiled code does not train it, as the end of a sentence."""
    module = network.module(torch.zeros(network.layout.d).numpy())
    found = _flat(module, "")
    return found if isinstance(found, str) else _read(found, network.layout, tuple(network.input_shape))


def _flat(module: nn.Module, path: str) -> list[tuple[str, nn.Module]] | str:
    """(name, layer) one after the other, through sequences in sequences."""
    kind = type(module)
    runs = kind.forward
    if not isinstance(module, nn.Sequential) or not (
        runs is nn.Sequential.forward or (isinstance(module, Chain) and runs is Chain.forward)
    ):
        return f"{kind.__name__} is not a chain of layers (nn.Sequential)"
    if isinstance(module, Chain) and type(module).features is not Chain.features:
        return f"{kind.__name__} has features of its own"
    out: list[tuple[str, nn.Module]] = []
    for name, layer in module.named_children():
        where = f"{path}.{name}" if path else name
        if isinstance(layer, nn.Sequential):
            inner = _flat(layer, where)
            if isinstance(inner, str):
                return inner
            out += inner
        else:
            out.append((where, layer))
    return out


def _read(found: list[tuple[str, nn.Module]], layout: Layout, shape: tuple[int, ...]) -> list[Layer] | str:
    layers: list[Layer] = []

    def place(name: str) -> int:
        return layout.slices[name].start if name in layout.slices else -1

    for name, layer in found:
        last = layers[-1] if layers else None
        if type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1):
            shape = (math.prod(shape),)
        elif type(layer) is nn.Identity:
            continue
        elif type(layer) is nn.ReLU and last is not None:
            last.relu = 1
        elif type(layer) is nn.MaxPool2d and last is not None and last.conv and not last.pool and len(shape) == 3:
            if not _halves(layer) or min(shape[1:]) < 2:
                return f"its layer {name} does not pool 2×2"
            last.pool = 1
            shape = (shape[0], shape[1] // 2, shape[2] // 2)
        elif type(layer) is nn.Conv2d and len(shape) == 3:
            why = _unusual(layer)
            if why:
                return f"its layer {name} is a convolution with {why}"
            (kh, kw), (ph, pw), (cin, h, w) = layer.kernel_size, _padding(layer), shape
            ends = place(f"{name}.weight"), place(f"{name}.bias")
            layers.append(Layer(1, cin, h, w, layer.out_channels, kh, kw, ph, pw, 0, 0, *ends))
            shape = (layer.out_channels, h + 2 * ph - kh + 1, w + 2 * pw - kw + 1)
        elif type(layer) is nn.Linear and len(shape) == 1:
            ends = place(f"{name}.weight"), place(f"{name}.bias")
            layers.append(Layer(0, layer.in_features, 1, 1, layer.out_features, 1, 1, 0, 0, 0, 0, *ends))
            shape = (layer.out_features,)
        else:
            return f"its layer {name} ({type(layer).__name__}) is not compiled, or not where it stands"
    if not layers or layers[-1].conv or max(sum(bool(a.conv) is b for a in layers) for b in (True, False)) > DEEPEST:
        return f"it does not end in a linear layer, or has more than {DEEPEST} layers of a kind"
    if len(layout.entries) != sum(1 + (layer.bias >= 0) for layer in layers):
        return "it shares tensors among layers, or has some outside of them"
    return layers


def _padding(conv: nn.Conv2d) -> tuple[int, int]:
    if isinstance(conv.padding, str):
        return (0, 0) if conv.padding == "valid" else (-1, -1)
    high, wide = conv.padding
    return high, wide


def _halves(pool: nn.MaxPool2d) -> bool:
    def pair(value: object) -> tuple[object, ...]:
        return tuple(value) if isinstance(value, tuple | list) else (value, value)

    same = pair(pool.kernel_size) == pair(pool.stride) == (2, 2)
    return same and pair(pool.padding) == (0, 0) and pair(pool.dilation) == (1, 1) and not pool.ceil_mode


def _unusual(conv: nn.Conv2d) -> str:
    if conv.stride != (1, 1) or conv.dilation != (1, 1) or conv.groups != 1:
        return "a stride, dilation or groups"
    if conv.padding_mode != "zeros" or any(
        not 0 <= p < k for p, k in zip(_padding(conv), conv.kernel_size, strict=True)
    ):
        return "padding other than zeros, or wider than its kernel"
    return ""
