"""Array types and the checks at the doors: messages name the argument, the expected and the found shape."""

from __future__ import annotations

import hashlib
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from disue.core.errors import UserError

Vector: TypeAlias = npt.NDArray[np.float32]  # (d,), C-contiguous
Matrix: TypeAlias = npt.NDArray[np.float32]  # (n, d), C-contiguous
Float64: TypeAlias = npt.NDArray[np.float64]
IntVector: TypeAlias = npt.NDArray[np.int64]
IntMatrix: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Array: TypeAlias = npt.NDArray[Any]


def vector(name: str, value: Array, d: int) -> Vector:
    """`value` if it is a float32 vector of length d, else one sentence that says what it is."""
    if value.dtype != np.float32 or value.shape != (d,):
        raise UserError(
            f"{name}: expected a vector of {d:,} float32, got {value.dtype} of shape {value.shape}",
            key=name,
            found=value.shape,
        )
    return np.ascontiguousarray(value)


def matrix(name: str, value: Array, rows: int | None, d: int) -> Matrix:
    """`value` if it is a float32 matrix (rows, d); rows None allows any number."""
    if (
        value.dtype != np.float32
        or value.ndim != 2
        or value.shape[1] != d
        or (rows is not None and value.shape[0] != rows)
    ):
        want = f"({'n' if rows is None else rows}, {d})"
        raise UserError(
            f"{name}: expected float32 of shape {want}, got {value.dtype} of shape {value.shape}",
            key=name,
            found=value.shape,
        )
    return np.ascontiguousarray(value)


def ids(name: str, value: Array) -> IntVector:
    """`value` as an int64 vector of client ids without repeats."""
    found = np.asarray(value)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise UserError(
            f"{name}: expected a vector of integer client ids, got {found.dtype} of shape {found.shape}",
            key=name,
        )
    out = found.astype(np.int64)
    if np.unique(out).size != out.size:
        values, counts = np.unique(out, return_counts=True)
        raise UserError(f"{name}: client id {values[counts > 1][0]} occurs {counts.max()} times", key=name)
    return out


def positions(wanted: IntVector, among: IntVector, name: str = "ids") -> IntVector:
    """The positions of the ids `wanted` inside `among`; an id that is not there is an error.

    The only bridge from ids to rows of an array: positions never leave the function that asked.
    """
    order = np.argsort(among, kind="stable")
    at = np.searchsorted(among, wanted, sorter=order)
    at = np.minimum(at, max(among.size - 1, 0))
    found = order[at] if among.size else np.zeros(wanted.shape, np.int64)
    missing = (among[found] != wanted) if among.size else np.ones(wanted.shape, bool)
    if missing.any():
        raise UserError(f"{name}: client {int(wanted[missing][0])} is not among the {among.size} known ids", key=name)
    return found.astype(np.int64)


def digest(*arrays: Array) -> str:
    """SHA-256 over dtype, shape and bytes of the arrays, in order."""
    out = hashlib.sha256()
    for array in arrays:
        out.update(f"{array.dtype.str}{array.shape}".encode())
        out.update(np.ascontiguousarray(array).tobytes())
    return out.hexdigest()


def frozen(value: Array) -> Array:
    """A read-only view: what leaves the core cannot be written to by accident."""
    out = value.view()
    out.flags.writeable = False
    return out
