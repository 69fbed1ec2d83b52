"""The handwritten digits that come with scikit-learn: 1,797 grey images of 8 × 8, no download.

Values 0 … 16 are stored as uint8 on the scale 0 … 255. The split 1,437 / 360 is stratified and fixed: of
each class the rows at every fifth place of its bundled order are the test set.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from disue.data.dataset import Dataset

CITATION = "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998"
_TEST = 360


def load() -> Dataset:
    """The set, with variant "bundled"; the hash is that of scikit-learn's own file."""
    raw = _bundled().read_bytes()
    rows = np.loadtxt(io.BytesIO(gzip.decompress(raw)), delimiter=",", dtype=np.float64)  # 64 pixels and the label
    x = np.rint(rows[:, :64].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    y = rows[:, 64].astype(np.int64)
    test = _fixed_test(y)
    return Dataset(
        name="digits",
        x_train=x[~test],
        y_train=y[~test],
        x_test=x[test],
        y_test=y[test],
        classes=10,
        kind="image",
        variant="bundled",
        files=(("digits.csv.gz", hashlib.sha256(raw).hexdigest()),),
        citation=CITATION,
    )


def _fixed_test(y: np.typing.NDArray[np.int64]) -> np.typing.NDArray[np.bool_]:
    """(n,) bool: the test rows. Quotas by largest remainder; within a class at even distances, no seed."""
    sizes = np.bincount(y, minlength=10)
    exact = sizes * (_TEST / len(y))
    quota = np.floor(exact).astype(np.int64)
    quota[np.argsort(quota - exact, kind="stable")[: _TEST - quota.sum()]] += 1
    out = np.zeros(len(y), bool)
    for label, take in enumerate(quota.tolist()):
        places = np.flatnonzero(y == label)
        out[places[((np.arange(take) + 0.5) * len(places) / take).astype(np.int64)]] = True
    return out


def _bundled() -> Path:
    """scikit-learn's file, found without importing it: that would cost a second for 57 kB."""
    found = find_spec("sklearn")
    assert found is not None and found.origin is not None  # a dependency
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
