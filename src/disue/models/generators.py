"""Conditional generators G(z, y): inputs of a model's shape out of noise and labels, differentiable.

z is Gaussian, y a label or shares over the classes. Batch normalisation inside G uses the statistics of
the batch, always: G has no tracked statistics, and all of it fits one vector of weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from disue.core.errors import UserError, unknown

OUTPUTS = ("tanh", "norm")
REACH = 3.0  # standard deviations of standardised inputs: what tanh is scaled to


class Generator(nn.Module):
    """G(z, y), z (n, nz), y (n,) int64 labels or (n, classes) shares → (n, *shape).

    Output "tanh" is bounded by ±3 standard deviations of standardised inputs; "norm" is a batch
    normalisation without weights: mean 0, variance 1 per channel over the batch.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, nz: int, output: str, body: nn.Module) -> None:
        super().__init__()
        self.shape, self.classes, self.nz, self.output = shape, classes, nz, output
        self.body = body

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        shares = labels if labels.is_floating_point() else F.one_hot(labels, self.classes)
        out: Tensor = self.body(torch.cat([noise, shares.to(noise.dtype)], dim=1))
        if self.output == "tanh":
            return REACH * torch.tanh(out)
        over = [axis for axis in range(out.ndim) if axis != 1]
        mean, variance = out.mean(over, keepdim=True), out.var(over, unbiased=False, keepdim=True)
        return (out - mean) / torch.sqrt(variance + 1e-5)


class Crop(nn.Module):
    """The middle of the last dimensions, of the given size: 28×28 is cut out of 32×32."""

    def __init__(self, size: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size

    def forward(self, inputs: Tensor) -> Tensor:
        out = inputs
        for axis, side in enumerate(self.size, start=2):
            out = out.narrow(axis, (out.shape[axis] - side) // 2, side)
        return out


def generator(
    shape: tuple[int, ...],
    kind: str,
    classes: int,
    nz: int = 100,
    width: int = 16,
    output: str = "tanh",
    seed: int = 0,
) -> Generator:
    """A small generator for inputs of `shape`; the same seed gives the same bits.

    Images and sequences: linear, then transposed convolutions that double each side, with 4·width,
    2·width, width channels at 32×32 (118,755 weights at 3×32×32, nz 64). Vectors: two hidden layers of
    8·width, for two samples a batch or more.
    """
    makers = {"image": _upward, "sequence": _upward, "vector": _dense}
    if kind == "text":
        raise UserError(
            "a generator makes images, sequences or vectors; text is token numbers, which have no gradient. "
            'Use family = "moments"',
            key="method.expert.family",
            found=kind,
        )
    if kind not in makers:
        raise unknown("input kind", kind, makers)
    if output not in OUTPUTS:
        raise unknown("output", output, OUTPUTS)
    dims = {"image": 3, "sequence": 2}.get(kind, len(shape))
    if len(shape) != dims or not shape or min(shape) < 1:
        raise UserError(
            f"a generator of kind {kind} needs a shape of {dims} sides, got {tuple(shape)}",
            key="shape",
            found=shape,
        )
    for key, value in (("nz", nz), ("width", width), ("classes", classes)):
        if value < 1:
            raise UserError(f"{key} must be ≥ 1, got {value}", key=key, found=value)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(seed))
        body = nn.Sequential(*makers[kind](tuple(shape), nz + classes, width))
    return Generator(tuple(shape), classes, nz, output, body)


def _upward(shape: tuple[int, ...], inward: int, width: int) -> Iterator[nn.Module]:
    """linear → norm → ReLU → (transposed convolution 4, stride 2 → norm → ReLU) … → channels of the data."""
    sides, flat = shape[1:], len(shape) == 2
    base = 16 if flat else 4  # the smallest side of the first map, where three stages reach 128 or 32
    stages = max(2, math.ceil(math.log2(max(sides) / base)))
    first = tuple(math.ceil(side / 2**stages) for side in sides)
    convolution = nn.ConvTranspose1d if flat else nn.ConvTranspose2d
    channels = [width * 2**stage for stage in reversed(range(stages))]
    yield nn.Linear(inward, channels[0] * math.prod(first))
    yield nn.Unflatten(1, (channels[0], *first))
    yield _norm(channels[0], flat)
    yield nn.ReLU()
    for narrow, wide in zip(channels[1:], channels, strict=False):
        yield convolution(wide, narrow, 4, stride=2, padding=1, bias=False)
        yield _norm(narrow, flat)
        yield nn.ReLU()
    yield convolution(channels[-1], shape[0], 4, stride=2, padding=1)
    yield Crop(sides)


def _dense(shape: tuple[int, ...], inward: int, width: int) -> Iterator[nn.Module]:
    hidden = 8 * width
    for before in (inward, hidden):
        yield nn.Linear(before, hidden, bias=False)
        yield _norm(hidden, True)
        yield nn.ReLU()
    yield nn.Linear(hidden, math.prod(shape))
    yield nn.Unflatten(1, shape)


def _norm(channels: int, flat: bool) -> nn.Module:
    norm = nn.BatchNorm1d if flat else nn.BatchNorm2d
    return norm(channels, track_running_stats=False)
