"""Reading an .npz that somebody else wrote: arrays by name, no pickles, one kind of failure."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np

from disue.core.checks import Array


class Unreadable(ValueError):
    """The file is no whole .npz of plain arrays; the message says why."""


def read_npz(path: str | os.PathLike[str]) -> dict[str, Array]:
    """All arrays of the file. Raises OSError where it cannot be opened, else `Unreadable`.

    A damaged zip raises nearly anything (it may claim to be encrypted, to use another compression, to be
    larger than memory), so everything but an error of the file system is caught here, and only here.
    """
    with Path(path).open("rb") as file:
        whole = zipfile.is_zipfile(file)
    if not whole:
        raise Unreadable("it is no zip archive")
    try:
        with np.load(path, allow_pickle=False) as found:
            return {name: np.asarray(found[name]) for name in found.files}
    except Exception as error:
        raise Unreadable(str(error) or type(error).__name__) from error
