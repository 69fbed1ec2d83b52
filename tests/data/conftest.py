"""Small made-up data sets for the tests of the data room."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from disue.data import Dataset


def label_set(samples: int, classes: int, counts: list[int] | None = None) -> Dataset:
    """A data set that is little more than a vector of labels; `counts` gives class sizes that differ."""
    y = np.repeat(np.arange(classes), counts) if counts else np.arange(samples) % classes
    x = np.arange(len(y), dtype=np.float32)[:, None]
    return Dataset("labels", x, y, x[:classes] * 0, np.arange(classes), classes, "vector")


def image_set(samples: int = 120, classes: int = 4, side: int = 6) -> Dataset:
    """Random uint8 images with two channels of different brightness."""
    rng = np.random.default_rng(5)
    x = rng.integers(0, 200, (samples + 40, 2, side, side)).astype(np.uint8)
    x[:, 1] //= 3
    y = np.arange(samples + 40) % classes
    return Dataset("images", x[:samples], y[:samples], x[samples:], y[samples:], classes, "image")


@pytest.fixture
def labels() -> Callable[..., Dataset]:
    return label_set


@pytest.fixture
def images() -> Dataset:
    return image_set()


@pytest.fixture
def data_root() -> Path:
    """The folder of prepared sets, from DISUE_DATA."""
    if not os.environ.get("DISUE_DATA"):
        pytest.skip("DISUE_DATA is not set: no data files to read")
    return Path(os.environ["DISUE_DATA"])


@pytest.fixture
def formats(data_root: Path) -> Path:
    """Samples of the official formats."""
    folder = data_root / "formats"
    if not folder.is_dir():
        pytest.skip("DISUE_DATA has no folder formats/")
    return folder
