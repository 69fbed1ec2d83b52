"""SVHN's cropped digits from the official .mat files; the label 10 there means the digit 0.

X is uint8 (32, 32, 3, n), y (n, 1). The `extra` file is not used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from disue.core.checks import Array, IntVector
from disue.data.dataset import Dataset
from disue.data.sources import facts
from disue.data.sources.files import broken, first_with, hashes, roots, unreadable

FILES = ("train_32x32.mat", "test_32x32.mat")


def find(folder: Path, whole: bool) -> list[Path] | None:
    """The two .mat files, directly in the folder or in svhn/ or SVHN/."""
    del whole
    root = first_with(roots(folder, ("svhn", "SVHN")), FILES)
    return None if root is None else [root / name for name in FILES]


def read(paths: list[Path]) -> Dataset:
    """The set from `find`'s files, images channels first."""
    known = facts.FACTS["svhn"]
    (x_train, y_train), (x_test, y_test) = (_mat(path) for path in paths)
    return Dataset(
        name="svhn",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=known.classes,
        kind="image",
        labels=known.labels,
        variant="official",
        files=hashes(paths),
        citation=known.citation,
    )


def _mat(path: Path) -> tuple[Array, IntVector]:
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=["X", "y"])
        x, y = np.asarray(found["X"]), np.asarray(found["y"]).ravel()
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # scipy raises many kinds on damaged files
        raise broken(path, "not a .mat file with X and y") from error
    if (
        x.dtype != np.uint8
        or x.ndim != 4
        or x.shape[:3] != (32, 32, 3)
        or x.shape[3] != y.size
        or y.dtype.kind not in "iuf"
    ):
        raise broken(
            path,
            f"X is {x.dtype} {x.shape} and y {y.dtype} ({y.size},), expected uint8 (32, 32, 3, n) and n labels",
        )
    return np.ascontiguousarray(x.transpose(3, 2, 0, 1)), y.astype(np.int64) % 10
