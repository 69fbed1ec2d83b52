"""CIFAR-10 and CIFAR-100 from the official Python pickles, read by an unpickler that can build arrays only.

A row of `data` is 1,024 red, 1,024 green and 1,024 blue bytes, each a row-major 32 × 32 plane.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NoReturn

import numpy as np

from disue.core.checks import Array, IntVector
from disue.core.errors import UserError
from disue.data.dataset import Dataset
from disue.data.sources import facts
from disue.data.sources.files import broken, exists, first_with, hashes, roots, unreadable

FOLDER10, FOLDER100 = "cifar-10-batches-py", "cifar-100-python"
BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))


def _reconstruct(kind: object, shape: object, code: object) -> Array:
    """What numpy's own `_reconstruct` does for a plain array: an empty one, filled afterwards by its state."""
    if kind is not np.ndarray or shape != (0,) or code not in ("b", b"b"):
        raise pickle.UnpicklingError("an array that is not written the usual way")
    return np.ndarray((0,), np.int8)


class _Arrays(pickle.Unpickler):
    """Knows three globals, all of numpy, under their names in numpy 1 and 2; anything else is refused."""

    _allowed: Mapping[tuple[str, str], object] = {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str, /) -> object:
        if (module, name) not in self._allowed:
            raise _Refused(f"{module}.{name}")
        return self._allowed[(module, name)]

    def persistent_load(self, pid: object, /) -> NoReturn:
        raise _Refused("a persistent object")


class _Refused(pickle.UnpicklingError):
    """A pickle asked for something that is no array."""


def unpickle(path: Path) -> dict[str, object]:
    """The dictionary in an official batch file; text as str. Raises `UserError` for anything else."""
    try:
        with path.open("rb") as handle:
            out = _loaded(handle)
    except OSError as error:
        raise unreadable(path, error) from error
    except _Refused as error:
        raise UserError(
            f"{path}: refused, its pickle asks for {error}; CIFAR files hold only lists and byte arrays",
            key="path",
            found=str(error),
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise broken(path, "not a CIFAR pickle") from error
    if not isinstance(out, dict):
        raise broken(path, "its pickle is not a dictionary")
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in out.items()}


def _loaded(handle: IO[bytes]) -> object:
    return _Arrays(handle, encoding="latin1").load()


def find10(folder: Path, whole: bool) -> list[Path] | None:
    """Batch files, test file and meta; with `whole` all five batches, else at least one."""
    places = roots(folder, (FOLDER10, f"cifar10/{FOLDER10}", "cifar10"))
    root = first_with(places, (*BATCHES, "test_batch", "batches.meta") if whole else ("test_batch", "batches.meta"))
    if root is None:
        return None
    batches = [root / name for name in BATCHES if exists(root / name)]
    return [*batches, root / "test_batch", root / "batches.meta"] if batches else None


def find100(folder: Path, whole: bool) -> list[Path] | None:
    """train, test and meta."""
    del whole
    root = first_with(roots(folder, (FOLDER100, f"cifar100/{FOLDER100}", "cifar100")), ("train", "test", "meta"))
    return None if root is None else [root / "train", root / "test", root / "meta"]


def read10(paths: list[Path]) -> Dataset:
    """CIFAR-10 from `find10`'s files; row counts are what the files hold."""
    *batches, test, meta = paths
    note = "" if len(batches) == len(BATCHES) else f"training batches {', '.join(p.name[-1] for p in batches)} only"
    return _dataset("cifar10", batches, test, meta, "labels", "label_names", note)


def read100(paths: list[Path]) -> Dataset:
    """CIFAR-100 with its fine labels from `find100`'s files."""
    train, test, meta = paths
    return _dataset("cifar100", [train], test, meta, "fine_labels", "fine_label_names", "")


def _dataset(name: str, batches: list[Path], test: Path, meta: Path, key: str, names_key: str, note: str) -> Dataset:
    known = facts.FACTS[name]
    pairs = [_batch(path, key) for path in batches]
    x_test, y_test = _batch(test, key)
    names = unpickle(meta).get(names_key)
    if not isinstance(names, list) or len(names) != known.classes:
        raise broken(meta, f"{names_key} is not a list of {known.classes} names")
    return Dataset(
        name=name,
        x_train=np.concatenate([x for x, _ in pairs]),
        y_train=np.concatenate([y for _, y in pairs]),
        x_test=x_test,
        y_test=y_test,
        classes=known.classes,
        kind="image",
        labels=tuple(str(n) for n in names),
        variant="official",
        files=hashes([*batches, test, meta]),
        citation=known.citation,
        note=note,
    )


def _batch(path: Path, key: str) -> tuple[Array, IntVector]:
    found = unpickle(path)
    data, labels = found.get("data"), found.get(key)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
        raise broken(path, "`data` is not an array of uint8 rows of 3,072")
    if not isinstance(labels, list) or len(labels) != len(data) or not all(type(v) is int for v in labels):
        raise broken(path, f"`{key}` is not a list of {len(data)} integers")
    return data.reshape(-1, 3, 32, 32), np.array(labels, np.int64)
