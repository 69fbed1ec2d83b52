"""One data set in memory: arrays, names, normalisation constants, and where the files came from.

Arrays keep the type they were stored in (uint8 images stay uint8); `inputs` turns rows into what a model
reads. Everything a user can get wrong about arrays is refused here, in one sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np

from disue.core.checks import Array, Float64, IntVector
from disue.core.errors import UserError, unknown

Kind: TypeAlias = Literal["image", "sequence", "text", "vector"]
Variant: TypeAlias = Literal["official", "prepared", "bundled", "own"]
Rows: TypeAlias = Array
LAYOUT: dict[Kind, tuple[int, str]] = {
    "image": (4, "(n, channels, height, width)"),
    "sequence": (3, "(n, channels, time)"),
    "text": (2, "(n, characters)"),
    "vector": (2, "(n, features)"),
}
_CHUNK = 4096  # rows looked at in one go: no second copy of a whole set


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test set with integer labels 0 … classes − 1, and where they came from.

    x_train, x_test: (n, …) by `kind`, see `LAYOUT`; y_train, y_test: (n,) int64.
    client_train, client_test: (n,) int64 natural client ids, or None. mean, std: (channels,) or (features,)
    float64 constants of the training set (after /255 for uint8 images), None for text.
    source_train, source_test: (n,) int64 which of several sets a row is of (see `mix`), or None.
    files: (file name, SHA-256) of everything that was read. Raises `UserError` on arrays that do not fit.
    """

    name: str
    x_train: Array
    y_train: IntVector
    x_test: Array
    y_test: IntVector
    classes: int
    kind: Kind
    client_train: IntVector | None = None
    client_test: IntVector | None = None
    labels: tuple[str, ...] = ()
    variant: Variant = "own"
    files: tuple[tuple[str, str], ...] = ()
    citation: str = ""
    note: str = ""
    mean: Float64 | None = field(default=None)
    std: Float64 | None = field(default=None)
    source_train: IntVector | None = None
    source_test: IntVector | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise unknown("kind", str(self.kind), get_args(Kind))
        set_ = object.__setattr__
        _check_inputs(self, "x_train", self.x_train)
        _check_inputs(self, "x_test", self.x_test)
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise UserError(
                f"{self.name}: one row of x_train has shape {self.x_train.shape[1:]}, one of x_test "
                f"{self.x_test.shape[1:]}; they must agree",
                key="x_test",
                found=self.x_test.shape,
            )
        for part, x in (("train", self.x_train), ("test", self.x_test)):
            set_(self, f"y_{part}", _labels(self, f"y_{part}", getattr(self, f"y_{part}"), len(x)))
            owners = getattr(self, f"client_{part}")
            if owners is not None:
                set_(self, f"client_{part}", _integers(self, f"client_{part}", owners, len(x)))
            sources = getattr(self, f"source_{part}")
            if sources is not None:
                set_(self, f"source_{part}", _integers(self, f"source_{part}", sources, len(x)))
        if not self.labels:
            set_(self, "labels", tuple(str(c) for c in range(self.classes)))
        if len(self.labels) != self.classes:
            raise UserError(
                f"{self.name}: {len(self.labels)} label names for {self.classes} classes",
                key="labels",
                found=len(self.labels),
            )
        if self.kind != "text" and (self.mean is None or self.std is None):
            mean, std = constants(self.x_train, self.kind)
            set_(self, "mean", mean)
            set_(self, "std", std)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, e.g. (3, 32, 32)."""
        return tuple(int(s) for s in self.x_train.shape[1:])

    @property
    def sizes(self) -> tuple[int, int]:
        """The numbers of training and of test samples."""
        return len(self.y_train), len(self.y_test)

    @property
    def vocabulary(self) -> int:
        """For text: how many symbols an input layer must know (at least `classes`); 0 for other kinds."""
        if self.kind != "text":
            return 0
        return max(self.classes, int(self.x_train.max()) + 1, int(self.x_test.max()) + 1)

    def inputs(self, x: Rows) -> Array:
        """Rows as a model reads them: (n, …) float32, normalised per channel or feature; text as int64."""
        if self.kind == "text":
            return x.astype(np.int64)
        assert self.mean is not None and self.std is not None  # set in __post_init__
        spread = (1, -1) + (1,) * (self.x_train.ndim - 2)
        scale = 255.0 if _bytes(x, self.kind) else 1.0
        out = x.astype(np.float32)
        out -= (self.mean * scale).reshape(spread).astype(np.float32)
        out /= (self.std * scale).reshape(spread).astype(np.float32)
        return out


def classes_of(y: Array) -> int:
    """One more than the largest training label (labels start at 0); at least 1."""
    found = np.asarray(y)
    return max(1, int(found.max()) + 1) if found.size and found.dtype.kind in "iu" else 1


def constants(x: Array, kind: Kind) -> tuple[Float64, Float64]:
    """Mean and deviation per channel (or feature) over all rows, (channels,) float64 each.

    uint8 images count in units of 1/255, through a histogram: exact. A channel that never varies gets
    deviation 1, so that it becomes 0 instead of NaN.
    """
    channels = x.shape[1]
    if _bytes(x, kind):
        levels = np.arange(256) / 255
        counts = np.zeros((channels, 256), np.int64)
        for at in range(0, len(x), _CHUNK):  # bincount makes int64 of what it is given
            counts += [np.bincount(x[at : at + _CHUNK, c].ravel(), minlength=256) for c in range(channels)]
        table = counts.astype(np.float64)
        count = table.sum(1)
        mean = table @ levels / count
        var = (table * (levels[None] - mean[:, None]) ** 2).sum(1) / count
    else:
        axes = (0, *range(2, x.ndim))
        count = np.float64(x.size / channels)
        mean = (
            sum(
                (x[i : i + _CHUNK].sum(axes, dtype=np.float64) for i in range(0, len(x), _CHUNK)),
                np.zeros(channels),
            )
            / count
        )
        middle = mean.reshape((1, -1) + (1,) * (x.ndim - 2))
        var = (
            sum(
                (((x[i : i + _CHUNK].astype(np.float64) - middle) ** 2).sum(axes) for i in range(0, len(x), _CHUNK)),
                np.zeros(channels),
            )
            / count
        )
    std = np.sqrt(var)
    std[std < 1e-12 * np.maximum(1.0, np.abs(mean))] = 1.0
    return mean, std


def _bytes(x: Array, kind: Kind) -> bool:
    return kind == "image" and x.dtype == np.uint8


def _check_inputs(data: Dataset, name: str, x: object) -> None:
    where = f"{data.name}: {name}"
    ndim, layout = LAYOUT[data.kind]
    if not isinstance(x, np.ndarray):
        raise UserError(f"{where} is missing: expected an array {layout}, got {type(x).__name__}", key=name)
    if x.dtype.kind not in "fiub":
        raise UserError(f"{where}: expected numbers, got an array of {x.dtype}", key=name, found=str(x.dtype))
    if x.ndim != ndim:
        raise UserError(f"{where}: {data.kind} data is {layout}, got shape {x.shape}", key=name, found=x.shape)
    if not x.size:
        raise UserError(f"{where} holds no samples (shape {x.shape})", key=name, found=x.shape)
    if data.kind == "text" and (x.dtype.kind not in "iu" or x.min() < 0):
        raise UserError(
            f"{where}: text is integers from 0 up, got {x.dtype} from {x.min()}", key=name, found=str(x.dtype)
        )
    if x.dtype.kind != "f":
        return
    for start in range(0, len(x), _CHUNK):
        bad = ~np.isfinite(x[start : start + _CHUNK])
        if bad.any():
            row = int(np.flatnonzero(bad.reshape(len(bad), -1).any(1))[0])
            value = x[start + row].ravel()[bad[row].ravel()][0]
            raise UserError(
                f"{where} holds {value}, first in row {start + row}; only finite numbers are allowed",
                key=name,
                found=start + row,
            )


def _integers(data: Dataset, name: str, values: object, rows: int) -> IntVector:
    where = f"{data.name}: {name}"
    if not isinstance(values, np.ndarray):
        raise UserError(f"{where} is missing: expected {rows:,} integers, got {type(values).__name__}", key=name)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise UserError(
            f"{where}: expected integers (n,), got {values.dtype} {values.shape}",
            key=name,
            found=str(values.dtype),
        )
    if len(values) != rows:
        raise UserError(
            f"{where} has {len(values):,} entries, x_{name.rsplit('_', 1)[1]} has {rows:,} rows",
            key=name,
            found=len(values),
        )
    return values.astype(np.int64)


def _labels(data: Dataset, name: str, values: object, rows: int) -> IntVector:
    out = _integers(data, name, values, rows)
    bad = np.unique(out[(out < 0) | (out >= data.classes)])
    if bad.size:
        some = _some(bad.tolist())
        why = "labels of the training set are" if name == "y_test" else "labels must be"
        raise UserError(
            f"{data.name}: {name} has label {some}; {why} 0 … {data.classes - 1}", key=name, found=bad.tolist()
        )
    return out


def _some(values: Sequence[int], most: int = 5) -> str:
    text = ", ".join(str(v) for v in values[:most])
    return text if len(values) <= most else f"{text} and {len(values) - most} more"
