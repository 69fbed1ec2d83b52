"""Residual networks for small images, with group or batch normalisation.

Group normalisation is the default: batch statistics of clients with few classes differ so much that
their average fits none of them.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from disue.core.errors import UserError
from disue.models.table import fit


def _norm(kind: str, channels: int) -> nn.Module:
    if kind not in ("group", "batch"):
        raise UserError(f'model.norm must be "group" or "batch", got {kind!r}', key="model.norm", found=kind)
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(math.gcd(8, channels), channels)


def _conv(inward: int, outward: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inward, outward, size, stride=stride, padding=size // 2, bias=False)


class Block(nn.Module):
    """ReLU(x' + norm(conv(ReLU(norm(conv(x)))))), x' the input, or its 1×1 convolution where shapes differ."""

    def __init__(self, inward: int, outward: int, stride: int, norm: str, *, norm_shortcut: bool) -> None:
        super().__init__()
        self.conv1, self.norm1 = _conv(inward, outward, 3, stride), _norm(norm, outward)
        self.conv2, self.norm2 = _conv(outward, outward, 3), _norm(norm, outward)
        self.shortcut = nn.Sequential()
        if stride != 1 or inward != outward:
            self.shortcut.append(_conv(inward, outward, 1, stride))
            if norm_shortcut:
                self.shortcut.append(_norm(norm, outward))

    def forward(self, inputs: Tensor) -> Tensor:
        inner = F.relu(self.norm1(self.conv1(inputs)))
        return F.relu(self.norm2(self.conv2(inner)) + self.shortcut(inputs))


class Residual(nn.Module):
    """A 3×3 stem, stages that double the channels and halve the image, the mean over space, the head."""

    positive = True  # a mean of ReLUs

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        blocks: tuple[int, ...],
        norm: str,
        width: int,
        *,
        norm_shortcut: bool,
    ) -> None:
        super().__init__()
        self.stem, self.norm = _conv(shape[0], width, 3), _norm(norm, width)
        self.stages = nn.Sequential()
        inward = width
        for stage, count in enumerate(blocks):
            outward = width * 2**stage
            for index in range(count):
                stride = 2 if stage and not index else 1
                self.stages.append(Block(inward, outward, stride, norm, norm_shortcut=norm_shortcut))
                inward = outward
        self.head = nn.Linear(inward, classes)

    def features(self, inputs: Tensor) -> Tensor:
        """Mean over space of the last maps, (n, features), ≥ 0."""
        out: Tensor = self.stages(F.relu(self.norm(self.stem(inputs)))).mean((-2, -1))
        return out

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, (n, classes)."""
        out: Tensor = self.head(self.features(inputs))
        return out


class Resnet8(Residual):
    """Three blocks, shortcuts without normalisation. 77,850 weights at 3×32×32."""

    def __init__(self, shape: tuple[int, ...], classes: int, norm: str = "group", width: int = 16) -> None:
        fit("resnet8", shape, classes)
        super().__init__(shape, classes, (1, 1, 1), norm, width, norm_shortcut=False)


class Resnet18(Residual):
    """Four stages of two blocks. 11,173,962 weights at 3×32×32."""

    def __init__(self, shape: tuple[int, ...], classes: int, norm: str = "group", width: int = 64) -> None:
        fit("resnet18", shape, classes)
        super().__init__(shape, classes, (2, 2, 2, 2), norm, width, norm_shortcut=True)
