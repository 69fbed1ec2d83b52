"""UCI HAR, the inertial signals: windows of 9 channels × 128 samples, 6 activities, clients are the subjects.

The official split separates subjects, which leaves no client with both training and test data. Here both
parts are merged and every subject's windows are split 80 / 20 in time order; time runs within each activity,
so that the last fifth holds all of them. Official windows overlap by half: a test window that shares its
first half with the last training window of its activity is left out.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from disue.core.checks import Array, IntVector, Mask
from disue.data.dataset import Dataset
from disue.data.sources import facts
from disue.data.sources.files import broken, first_with, hashes, roots, unreadable

FOLDER = "UCI HAR Dataset"
CHANNELS = tuple(f"{signal}_{axis}" for signal in ("body_acc", "body_gyro", "total_acc") for axis in "xyz")
TRAIN_SHARE = 0.8


def _names(split: str) -> list[str]:
    signals = [f"{split}/Inertial Signals/{channel}_{split}.txt" for channel in CHANNELS]
    return [*signals, f"{split}/y_{split}.txt", f"{split}/subject_{split}.txt"]


def find(folder: Path, whole: bool) -> list[Path] | None:
    """The nine signal files, labels and subjects of both splits (22 files)."""
    del whole
    names = [*_names("train"), *_names("test")]
    root = first_with(roots(folder, (FOLDER, f"har/{FOLDER}", "har")), names)
    return None if root is None else [root / name for name in names]


def read(paths: list[Path]) -> Dataset:
    """The merged set, split by time within each subject; client ids are the official subject numbers."""
    known = facts.FACTS["har"]
    half = len(paths) // 2
    parts = [_split(paths[:half]), _split(paths[half:])]
    x, y, subject = (np.concatenate([part[i] for part in parts]) for i in range(3))
    train, test = time_split(x, y, subject)
    left = len(y) - int(train.sum()) - int(test.sum())
    return Dataset(
        name="har",
        x_train=x[train],
        y_train=y[train],
        x_test=x[test],
        y_test=y[test],
        classes=known.classes,
        kind="sequence",
        client_train=subject[train],
        client_test=subject[test],
        labels=known.labels,
        variant="official",
        files=hashes(paths),
        citation=known.citation,
        note=f"official parts merged, 80/20 in time order per subject, {left} overlapping windows left out",
    )


def time_split(x: Array, y: IntVector, subject: IntVector) -> tuple[Mask, Mask]:
    """(n,) bool masks of training and test rows, given windows (n, channels, time) in time order."""
    train, test = np.zeros(len(y), bool), np.zeros(len(y), bool)
    middle = x.shape[2] // 2
    for person in np.unique(subject):
        rows = np.flatnonzero(subject == person)
        rank = np.zeros(len(rows))
        for activity in np.unique(y[rows]):
            own = y[rows] == activity
            rank[own] = (np.arange(own.sum()) + 0.5) / own.sum()
        order = np.argsort(rank, kind="stable")
        cut = int(np.floor(TRAIN_SHARE * len(rows) + 0.5))
        train[rows[order[:cut]]] = True
        late = rows[np.sort(order[cut:])]
        for activity in np.unique(y[late]):
            first = late[y[late] == activity][0]
            before = rows[(rows < first) & (y[rows] == activity)]
            shared = before.size and np.array_equal(x[before[-1]][:, middle:], x[first][:, :middle])
            test[late[y[late] == activity][1 if shared else 0 :]] = True
    return train, test


def _split(paths: list[Path]) -> tuple[Array, IntVector, IntVector]:
    *signals, labels, subjects = paths
    x = np.stack([_table(path) for path in signals], 1)
    y, subject = (_table(path)[:, 0].astype(np.int64) for path in (labels, subjects))
    if len(y) != len(x) or len(subject) != len(x):
        raise broken(labels, f"{len(y)} labels and {len(subject)} subjects for {len(x)} windows")
    return x, y - 1, subject


def _table(path: Path) -> Array:
    """(rows, columns) float32 from a text file of numbers; the columns are separated by blanks."""
    try:
        text = path.read_text("ascii")
        width = len(text[: text.find("\n")].split())
        rows = sum(1 for line in text.splitlines() if line.strip())
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # older numpy only warns where the text stops being numbers
            values = np.fromstring(text, np.float64, sep=" ").astype(np.float32)
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, DeprecationWarning) as error:
        raise broken(path, "not a table of numbers") from error
    wide = "Inertial" in str(path.parent)
    if width < 1 or values.size != rows * width or width != (128 if wide else 1):
        raise broken(path, f"lines of {width} numbers, expected {128 if wide else 1}")
    return values.reshape(-1, width)
