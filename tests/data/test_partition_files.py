"""Partition files: they come back as they went, and nothing foreign or damaged is taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disue.core.errors import UserError
from disue.core.streams import Streams
from disue.data import Dataset, Partition, make


def test_file_round_trip(tmp_path: Path, images: Dataset) -> None:
    for kind in ("dirichlet", "rotated", "permuted-labels"):
        before = make(images, kind, streams=Streams(0), clients=8)
        before.save(tmp_path / "p.npz")
        after = Partition.load(tmp_path / "p.npz")
        assert after.hash == before.hash
        assert (after.kind, after.parameters, after.stats) == (before.kind, before.parameters, before.stats)
        assert all(after.transform(i) == before.transform(i) for i in range(8))
        assert (after.truth is None) == (before.truth is None)
        after.fits(images.y_train)
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]
    with pytest.raises(UserError, match="made for"):
        after.fits(images.y_train[::-1].copy())


def test_file_that_is_no_partition(tmp_path: Path, images: Dataset) -> None:
    path = tmp_path / "p.npz"
    make(images, "rotated", streams=Streams(0), clients=8).save(path)
    good = path.read_bytes()
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(arrays["header"].tobytes())

    def write(**changed: object) -> None:
        np.savez(path, **{**arrays, **changed})  # type: ignore[arg-type]

    def head(**changed: object) -> np.ndarray:
        return np.frombuffer(json.dumps({**header, **changed}).encode(), np.uint8)

    cases = {
        "no partition file": lambda: path.write_bytes(b"hello"),
        "no partition file ": lambda: path.write_bytes(good[: len(good) // 2]),
        "no partition file  ": lambda: np.savez(path, a=np.zeros(3)),
        "no partition file   ": lambda: write(header=np.array([{"a": 1}], object)),
        "version 2": lambda: write(header=head(version=2)),
        "outside": lambda: write(indices=arrays["indices"] + 10_000),
        "dealt 2 times": lambda: write(indices=np.where(arrays["indices"] == 0, 1, arrays["indices"])),
        "hash": lambda: write(indices=arrays["indices"][::-1]),
        "hash ": lambda: write(turns=(arrays["turns"] + 1) % 4),
        "lengths": lambda: write(lengths=arrays["lengths"] + 1),
    }
    for message, spoil in cases.items():
        spoil()
        with pytest.raises(UserError, match=message.strip()):
            Partition.load(path)
    with pytest.raises(UserError, match="cannot be read"):
        Partition.load(tmp_path / "absent.npz")


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, 10**9), value=st.integers(0, 255))
def test_one_wrong_byte_is_noticed_or_harmless(tmp_path_factory: pytest.TempPathFactory, at: int, value: int) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.npz"
    y = np.arange(60) % 3
    x = np.zeros((60, 1), np.float32)
    before = make(Dataset("d", x, y, x, y, 3, "vector"), streams=Streams(0), clients=5)
    before.save(path)
    raw = bytearray(path.read_bytes())
    raw[at % len(raw)] = value
    path.write_bytes(bytes(raw))
    try:
        after = Partition.load(path)
    except UserError:
        return
    assert after.hash == before.hash
