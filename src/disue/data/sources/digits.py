"""The handwritten digits that come with scikit-learn: 1,797 grey images of 8 × 8, no download.

Values 0 … 16 are stored as uint8 on the scale 0 … 255. The split 1,437 / 360 is stratified and fixed: of
each class the rows at every fifth place of its bundled order are the test set.
"""

from __future__ import annotations

from importlib import resources

import numpy as np

from disue.data.dataset import Dataset

CITATION = "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998"
_TEST = 360


def load() -> Dataset:
    """The set, with variant "bundled"; the hash is that of scikit-learn's own file."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = np.rint(np.asarray(bunch.images) * (255 / 16)).astype(np.uint8)[:, None]
    y = np.asarray(bunch.target, np.int64)
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
        files=(("digits.csv.gz", _bundled_hash()),),
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


def _bundled_hash() -> str:
    import hashlib

    found = resources.files("sklearn.datasets").joinpath("data", "digits.csv.gz")
    return hashlib.sha256(found.read_bytes()).hexdigest()
