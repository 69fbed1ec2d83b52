"""Fashion-MNIST from the official idx files, gzipped or plain.

Header: big-endian uint32, 2051 then n, rows, columns for images, 2049 then n for labels; uint8 values follow.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from disue.core.checks import Array
from disue.data.dataset import Dataset
from disue.data.sources import facts
from disue.data.sources.files import broken, exists, hashes, roots, unreadable

FILES = tuple(f"{split}-{what}-ubyte" for split in ("train", "t10k") for what in ("images-idx3", "labels-idx1"))


def find(folder: Path, whole: bool) -> list[Path] | None:
    """The four files, each plain or with .gz, in the folder itself or where torchvision puts them."""
    del whole
    for root in roots(folder, ("FashionMNIST/raw", "fashion_mnist", "fashion")):
        found = [next((p for p in (root / name, root / f"{name}.gz") if exists(p)), None) for name in FILES]
        if all(found):
            return [path for path in found if path is not None]
    return None


def read(paths: list[Path]) -> Dataset:
    """The set from `find`'s files."""
    known = facts.FACTS["fashion_mnist"]
    x_train, y_train, x_test, y_test = (idx(path) for path in paths)
    for path, x, ndim in zip(paths, (x_train, y_train, x_test, y_test), (3, 1, 3, 1), strict=True):
        if x.ndim != ndim:
            raise broken(path, f"an idx file of {x.ndim} dimensions, expected {ndim}")
    return Dataset(
        name="fashion_mnist",
        x_train=x_train[:, None],
        y_train=y_train.astype(np.int64),
        x_test=x_test[:, None],
        y_test=y_test.astype(np.int64),
        classes=known.classes,
        kind="image",
        labels=known.labels,
        variant="official",
        files=hashes(paths),
        citation=known.citation,
    )


def idx(path: Path) -> Array:
    """The uint8 array in an idx file; gzip is recognised by its first bytes, not by the name."""
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise broken(path, "its gzip stream cannot be unpacked") from error
    except OSError as error:
        raise unreadable(path, error) from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or raw[3] not in (1, 3) or len(raw) < 4 + 4 * raw[3]:
        raise broken(path, "no idx header for uint8 images or labels")
    shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
    if values.size != int(np.prod(np.array(shape, object))):
        raise broken(path, f"its header says {shape}, but {values.size:,} bytes follow")
    return values.reshape(shape)
