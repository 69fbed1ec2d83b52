"""Augmentation of training images in numpy: mirror left and right, pad and crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from disue.core.checks import Array
from disue.core.errors import UserError, unknown

KINDS = ("flip", "crop")


def augment(
    x: Array,
    rng: np.random.Generator,
    kinds: Sequence[str] = KINDS,
    *,
    margin: int = 4,
    fill: Literal["reflect", "zero"] = "reflect",
) -> Array:
    """A new batch of the shape of x (n, channels, height, width); x is left as it is.

    "crop" pads every side by `margin` pixels (mirrored, or with zeros, which after normalisation is the mean
    colour) and cuts a window of the old size at a random place; "flip" mirrors each image with chance 1/2.
    The order of `kinds` does not matter: crop first. Raises `UserError` for data that are no images.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("augment", str(kind), KINDS)
    if x.ndim != 4:
        raise UserError(
            f"augment: needs images (n, channels, height, width), got shape {x.shape}",
            key="augment",
            found=x.shape,
        )
    n, _, height, width = x.shape
    out = x
    if "crop" in kinds and n:
        if fill == "reflect" and margin >= min(height, width):
            raise UserError(
                f"augment: a mirrored margin of {margin} needs larger images than {height} × {width}",
                key="augment",
                found=margin,
            )
        sides = ((0, 0), (0, 0), (margin, margin), (margin, margin))
        padded = np.pad(x, sides, mode="reflect") if fill == "reflect" else np.pad(x, sides)
        down, right = rng.integers(0, 2 * margin + 1, (2, n))
        rows = (down[:, None] + np.arange(height))[:, None, :, None]
        columns = (right[:, None] + np.arange(width))[:, None, None, :]
        out = padded[np.arange(n)[:, None, None, None], np.arange(x.shape[1])[:, None, None], rows, columns]
    if "flip" in kinds:
        mirrored = np.asarray(rng.random(n) < 0.5)
        out = np.where(mirrored[:, None, None, None], out[..., ::-1], out)
    return np.ascontiguousarray(out) if out is not x else x.copy()
