"""Finding, hashing and checking the files of a data set on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import platformdirs

from disue.core.errors import UserError

VARIABLE = "DISUE_DATA"


def data_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """Where data lies: the argument, else the variable DISUE_DATA, else the user's cache folder."""
    if given is not None:
        return Path(given).expanduser()
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("disue")) / "data"


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def hashes(paths: Iterable[Path]) -> tuple[tuple[str, str], ...]:
    """(file name, SHA-256) of every file, in the order given."""
    return tuple((path.name, sha256(path)) for path in paths)


def roots(folder: Path, subfolders: Sequence[str]) -> list[Path]:
    """The folders in which files may lie: `folder` itself, then the usual folders inside it."""
    return [folder, *(folder / name for name in subfolders)]


def exists(path: Path) -> bool:
    """Whether a file or folder is there; one that may not be looked at is the user's to mend."""
    try:
        return path.exists()
    except OSError as error:
        raise unreadable(path, error) from error


def first_with(folders: Iterable[Path], names: Sequence[str]) -> Path | None:
    """The first folder that holds all the files `names`, or None."""
    return next((folder for folder in folders if all(exists(folder / name) for name in names)), None)


def readable_folder(path: Path) -> Path:
    """`path` if it is a folder whose names can be listed, else a `UserError`."""
    try:
        next(iter(path.iterdir()), None)
    except OSError as error:
        raise unreadable(path, error) from error
    return path


def unreadable(path: Path, error: OSError) -> UserError:
    """One sentence for a file or folder that the system does not let us read."""
    why = error.strerror or type(error).__name__
    return UserError(f"{path} cannot be read: {why}", key="path", found=str(path))


def broken(path: Path, what: str) -> UserError:
    """One sentence for a file whose contents are not what its name promises."""
    return UserError(f"{path}: {what}; the file is damaged, cut off or of another format", key="path", found=str(path))
