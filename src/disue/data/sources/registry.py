"""Which name is read by what, and where it is looked for: official files, then the prepared .npz."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from disue.core.errors import UserError, unknown
from disue.data.dataset import Dataset
from disue.data.sources import arrays, cifar, digits, har, idx, shakespeare, svhn
from disue.data.sources.files import data_folder, exists, readable_folder


@dataclass(frozen=True)
class Source:
    """How one official format is found and read.

    find(folder, whole): the files below `folder`, or None where they are not all there; with `whole` false
    a part of them is enough where the format allows it. read(files): the data set. wanted: for messages.
    """

    find: Callable[[Path, bool], list[Path] | None]
    read: Callable[[list[Path]], Dataset]
    wanted: str


SOURCES: dict[str, Source] = {
    "cifar10": Source(
        cifar.find10, cifar.read10, "cifar-10-batches-py/ with data_batch_1 … 5, test_batch and batches.meta"
    ),
    "cifar100": Source(cifar.find100, cifar.read100, "cifar-100-python/ with train, test and meta"),
    "svhn": Source(svhn.find, svhn.read, "svhn/ with train_32x32.mat and test_32x32.mat"),
    "fashion_mnist": Source(idx.find, idx.read, "FashionMNIST/raw/ with the four *-ubyte files, also .gz"),
    "har": Source(har.find, har.read, '"UCI HAR Dataset"/ with train and test'),
    "shakespeare": Source(
        shakespeare.find,
        shakespeare.read,
        "leaf_shakespeare/ with train/*.json and test/*.json, or shakespeare/tinyshakespeare.txt",
    ),
}
NAMES: tuple[str, ...] = ("digits", *SOURCES)


def load(
    name: str | None = None,
    path: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
    """A data set by name, or the user's own arrays by path.

    name alone: the official files in the data folder where they are all there, else the prepared `<name>.npz`
    there; the data folder is `data_dir`, else the variable DISUE_DATA, else the user's cache.
    path alone: an .npz of arrays, see `disue.data.sources.arrays`. Both: the named format from that folder or
    .npz. The result says which files were read (`variant`, `files`). Raises `UserError`.
    """
    if name is None and path is None:
        raise UserError(f"data.name or data.path must be given; names: {', '.join(NAMES)}", key="data.name")
    if name is not None and name not in NAMES:
        raise unknown("data.name", str(name), NAMES)
    if path is not None:
        return _from_path(name, Path(path).expanduser())
    assert name is not None
    if name == "digits":
        return digits.load()
    folder = data_folder(data_dir)
    source = SOURCES[name]
    if exists(folder):
        readable_folder(folder)
        found = source.find(folder, True)
        if found is not None:
            return source.read(found)
        prepared = folder / f"{name}.npz"
        if exists(prepared):
            return arrays.read(prepared, name=name)
    raise UserError(
        f"data.name: {name} is not in {folder}: looked for {source.wanted}, then {name}.npz; "
        f"`disue data fetch {name}` gets the official files",
        key="data.name",
        found=str(folder),
    )


def _from_path(name: str | None, path: Path) -> Dataset:
    if not exists(path):
        raise UserError(f"data.path: there is nothing at {path}", key="data.path", found=str(path))
    if not path.is_dir():
        return arrays.read(path, name=name)
    readable_folder(path)
    if name is None:
        raise UserError(
            f"data.path: {path} is a folder: give an .npz, or in data.name what it holds: {', '.join(SOURCES)}",
            key="data.path",
            found=str(path),
        )
    if name == "digits":
        return digits.load()
    found = SOURCES[name].find(path, False)
    if found is None:
        raise UserError(f"data.path: {path} does not hold {SOURCES[name].wanted}", key="data.path", found=str(path))
    return SOURCES[name].read(found)
