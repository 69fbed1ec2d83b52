"""How an update is written on the wire: as it is, or in fewer bits, with what that loses added to the next one.

Error feedback (Seide et al. 2014; Karimireddy et al. 2019): a client adds to each update what its last encodings lost.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from disue.core.checks import Array, IntVector, Vector
from disue.core.layout import Layout

ENCODINGS = ("float32", "float16", "int8")
UPDATE, SCALES = "update", "scales"
TOP = 127


def cost(name: str, layout: Layout) -> tuple[int, int]:
    """(bytes of a number, bytes beside them)."""
    return {"float32": (4, 0), "float16": (2, 0), "int8": (1, 4 * len(layout.entries))}[name]


def encode(name: str, update: Vector, entries: IntVector, layout: Layout) -> dict[str, Array]:
    """Arrays that carry `update` (n,), the change of these entries of the vector.

    float16  rounded, what is too large for it at its largest number
    int8     steps of the largest absolute value of each tensor / 127, and these values
    """
    if name == "float16":
        most = np.float32(np.finfo(np.float16).max)
        return {UPDATE: np.clip(update, -most, most).astype(np.float16)}
    tensors = tensors_of(entries, layout)
    largest = np.zeros(len(layout.entries), np.float32)
    np.maximum.at(largest, tensors, np.abs(update))
    scales = (largest / TOP).astype(np.float32)
    step = scales[tensors]
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(step > 0, np.rint(update / step), 0)
    return {UPDATE: np.clip(steps, -TOP, TOP).astype(np.int8), SCALES: scales}


def decode(name: str, arrays: Mapping[str, Array], entries: IntVector, layout: Layout) -> Vector:
    """(n,) float32 as both sides have it."""
    found = np.asarray(arrays[UPDATE])
    if name == "float16":
        return found.astype(np.float32)
    scales = np.asarray(arrays[SCALES], np.float32)
    return np.asarray(found.astype(np.float32) * scales[tensors_of(entries, layout)], np.float32)


def tensors_of(entries: IntVector, layout: Layout) -> IntVector:
    """(n,) the number of the tensor that each entry is of."""
    ends = np.cumsum([entry.size for entry in layout.entries])
    return np.searchsorted(ends, entries, side="right")
