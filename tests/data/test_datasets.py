"""Data sets: normalisation against numbers worked out by hand, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.data import Dataset, load
from disue.data.dataset import constants

X = np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0], [7.0, 2.0]], np.float32)
Y = np.array([0, 1, 0, 1])


def vectors(**changed: object) -> Dataset:
    fields: dict[str, object] = {
        "name": "own",
        "x_train": X,
        "y_train": Y,
        "x_test": X[:2],
        "y_test": Y[:2],
        "classes": 2,
        "kind": "vector",
    }
    return Dataset(**{**fields, **changed})  # type: ignore[arg-type]


def test_vectors_by_feature() -> None:
    # feature 0: mean 4, deviation √5; feature 1 never varies: it becomes 0, not NaN
    found = vectors().inputs(X)
    assert found.dtype == np.float32
    assert np.allclose(found[:, 0], np.array([-3, -1, 1, 3]) / 5**0.5)
    assert (found[:, 1] == 0).all()


def test_images_by_channel_exactly() -> None:
    x = np.random.default_rng(0).integers(0, 256, (50, 3, 5, 5)).astype(np.uint8)
    y = np.arange(50) % 5
    data = Dataset("i", x, y, x[:5], y[:5], 5, "image")
    assert data.mean is not None and data.std is not None
    assert np.allclose(data.mean, (x / 255).mean((0, 2, 3)), atol=1e-12)
    assert np.allclose(data.std, (x / 255).std((0, 2, 3)), atol=1e-12)
    found = data.inputs(x)
    assert np.abs(found.mean((0, 2, 3))).max() < 1e-5
    assert np.allclose(found.std((0, 2, 3)), 1, atol=1e-5)
    assert data.shape == (3, 5, 5)


def test_constants_do_not_depend_on_the_chunk() -> None:
    x = np.random.default_rng(1).normal(3, 2, (9_000, 2, 4)).astype(np.float16)
    mean, std = constants(x, "sequence")
    assert np.allclose(mean, x.astype(np.float64).mean((0, 2)))
    assert np.allclose(std, x.astype(np.float64).std((0, 2)))


def test_text_stays_indices() -> None:
    x = np.array([[0, 5, 79], [1, 2, 3]], np.uint8)
    data = Dataset("t", x, np.array([0, 1]), x, np.array([0, 1]), 2, "text")
    assert data.mean is None
    assert data.inputs(x).dtype == np.int64
    assert (data.inputs(x) == x).all()
    assert data.vocabulary == 80


def holed(value: float) -> np.ndarray:
    out = X.copy()
    out[2, 1] = value
    return out


BAD: list[tuple[dict[str, object], str, str]] = [
    ({"x_train": None}, "x_train", "missing"),
    ({"y_test": None}, "y_test", "missing"),
    ({"y_train": Y[:3]}, "y_train", "3 entries"),
    ({"x_train": holed(np.nan)}, "x_train", "nan, first in row 2"),
    ({"x_train": holed(-np.inf)}, "x_train", "-inf, first in row 2"),
    ({"x_train": X.astype(object)}, "x_train", "object"),
    ({"x_train": X[:, 0]}, "x_train", "shape"),
    ({"x_train": X[:0], "y_train": Y[:0]}, "x_train", "no samples"),
    ({"x_test": X[:2, :1]}, "x_test", "must agree"),
    ({"y_train": Y.astype(float)}, "y_train", "integers"),
    ({"y_train": Y.astype(object)}, "y_train", "integers"),
    ({"y_train": Y[:, None]}, "y_train", "integers"),
    ({"y_train": Y - 1}, "y_train", "label -1"),
    ({"y_train": Y + 1}, "y_train", "label 2"),
    ({"y_test": np.array([0, 7])}, "y_test", "label 7"),
    ({"client_train": np.array([1.0, 2, 3, 4])}, "client_train", "integers"),
    ({"client_train": np.array([1, 2])}, "client_train", "2 entries"),
    ({"labels": ("a", "b", "c")}, "labels", "3 label names"),
    ({"kind": "vectors"}, "kind", "Did you mean"),
    ({"kind": "text"}, "x_train", "integers from 0"),
    ({"kind": "image"}, "x_train", "channels"),
]


@pytest.mark.parametrize(("changed", "key", "words"), BAD)
def test_bad_arrays_are_one_sentence(changed: dict[str, object], key: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        vectors(**changed)
    assert caught.value.key == key
    assert "\n" not in str(caught.value)


def test_digits_are_bundled_and_fixed() -> None:
    data = load("digits")
    assert (data.variant, data.shape, data.sizes) == ("bundled", (1, 8, 8), (1437, 360))
    assert (data.x_train.dtype, int(data.x_train.max())) == (np.uint8, 255)
    whole = np.bincount(np.concatenate([data.y_train, data.y_test]))
    assert np.abs(np.bincount(data.y_test) - whole * 360 / 1797).max() < 1
    assert len(data.files[0][1]) == 64


def test_nothing_here_loads_torch() -> None:
    program = "import sys, disue.data, disue.data.fetch, disue.data.augment; sys.exit('torch' in sys.modules)"
    path = ":".join(p for p in sys.path if p)
    assert subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": path}, check=False).returncode == 0
