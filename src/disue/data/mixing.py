"""Two image sets as one, for federations in which some clients hold the one and some the other."""

from __future__ import annotations

import numpy as np

from disue.core.checks import Array, IntVector
from disue.core.errors import UserError
from disue.data.dataset import Dataset


def mix(a: Dataset, b: Dataset, *, share_labels: bool = False) -> Dataset:
    """The rows of `a`, then those of `b`, with `source_train`, `source_test` = 0 and 1.

    share_labels  label c of both means one class; else those of `b` follow the labels of `a`

    Images get the larger side, by whole factors (nearest), the rest filled with black around them, and three channels
    where one set has them (grey is replicated). Constants for normalising are those of the union.
    """
    for data in (a, b):
        square = data.kind == "image" and data.x_train.dtype == np.uint8 and data.shape[1] == data.shape[2]
        if not square or data.shape[0] not in (1, 3):
            raise UserError(
                f"data.mix takes two sets of square uint8 images of one or three channels; {data.name} is {data.kind} "
                f"{data.x_train.dtype} of shape {data.shape}",
                key="data.mix",
                found=data.name,
            )
    channels, side = max(a.shape[0], b.shape[0]), max(a.shape[1], b.shape[1])
    first = 0 if share_labels else a.classes
    classes = max(a.classes, b.classes) if share_labels else a.classes + b.classes
    names = [f"{x.name} {word}" for x in (a, b) for word in x.labels]
    shared = [
        f"{a.labels[c] if c < a.classes else '–'}/{b.labels[c] if c < b.classes else '–'}" for c in range(classes)
    ]
    return Dataset(
        name=f"{a.name}+{b.name}",
        x_train=np.concatenate([shaped(x.x_train, channels, side) for x in (a, b)]),
        y_train=np.concatenate([a.y_train, b.y_train + first]),
        x_test=np.concatenate([shaped(x.x_test, channels, side) for x in (a, b)]),
        y_test=np.concatenate([a.y_test, b.y_test + first]),
        classes=classes,
        kind="image",
        labels=tuple(shared if share_labels else names),
        variant=a.variant if a.variant == b.variant else "own",
        files=a.files + b.files,
        citation="; ".join(dict.fromkeys(x.citation for x in (a, b) if x.citation)),
        note=" ".join(dict.fromkeys(x.note for x in (a, b) if x.note)),
        source_train=_sources(a.y_train, b.y_train),
        source_test=_sources(a.y_test, b.y_test),
    )


def shaped(x: Array, channels: int, side: int) -> Array:
    """(n, channels, side, side): enlarged by the largest whole factor that fits, then framed in black."""
    factor = side // x.shape[-1]
    out = x.repeat(factor, axis=-1).repeat(factor, axis=-2)
    if out.shape[1] != channels:
        out = out.repeat(channels, axis=1)
    rest = side - out.shape[-1]
    before = rest // 2
    return np.pad(out, ((0, 0), (0, 0), (before, rest - before), (before, rest - before)))


def _sources(a: IntVector, b: IntVector) -> IntVector:
    return np.repeat(np.arange(2), [a.size, b.size]).astype(np.int64)
