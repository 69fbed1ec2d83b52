"""Your own arrays, and the prepared subsets: one .npz without pickled objects.

Keys: x_train, y_train, x_test, y_test, and optionally client_train, client_test (any integers as ids).
The kind follows from the shape: (n, c, h, w) images; (n, c, t) sequences; (n, f) vectors, or text where the
numbers are integers and the file's name contains "text" or an entry `kind` says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np

from disue.core.checks import Array
from disue.core.errors import UserError, unknown
from disue.data.dataset import Dataset, Kind, classes_of
from disue.data.sources import facts
from disue.data.sources.files import broken, hashes, unreadable

NEEDED = ("x_train", "y_train", "x_test", "y_test")
_OPTIONAL = ("client_train", "client_test", "kind")


def read(path: Path, name: str | None = None) -> Dataset:
    """The data set in `path`; with the name of a known set its classes, label names and citation are used."""
    found = arrays_of(path)
    missing = [key for key in NEEDED if key not in found]
    if missing:
        raise UserError(
            f"{path.name} lacks {', '.join(missing)}; it holds {', '.join(sorted(found)) or 'nothing'}",
            key=missing[0],
            found=sorted(found),
        )
    if ("client_train" in found) != ("client_test" in found) and "client_test" in found:
        raise UserError(f"{path.name} has client_test without client_train", key="client_train")
    known = facts.FACTS.get(name or "")
    y_train, y_test = found["y_train"], found["y_test"]
    kind = known.kind if known else guess_kind(found["x_train"], path.stem, found.get("kind"))
    classes = known.classes if known else classes_of(y_train)
    data = Dataset(
        name=name or path.stem,
        x_train=found["x_train"],
        y_train=y_train,
        x_test=found["x_test"],
        y_test=y_test,
        classes=classes,
        kind=kind,
        client_train=found.get("client_train"),
        client_test=found.get("client_test"),
        labels=known.labels if known else (),
        variant="prepared" if known else "own",
        files=hashes([path]),
        citation=known.citation if known else "",
        note="a prepared set, not the official split: not comparable with published figures" if known else "",
    )
    never = np.setdiff1d(data.y_test, data.y_train)
    if not known and never.size:
        raise UserError(
            f"{path.name}: y_test has label {', '.join(map(str, never[:5].tolist()))}, not in y_train",
            key="y_test",
            found=never.tolist(),
        )
    return data


def guess_kind(x: Array, stem: str, said: Array | None = None) -> Kind:
    """The kind of data by shape, type and name, as the module's first lines say."""
    if said is not None:
        for kind in get_args(Kind):
            if str(said) == kind:
                return kind  # type: ignore[no-any-return]
        raise unknown("kind", str(said), get_args(Kind))
    if x.ndim == 4:
        return "image"
    if x.ndim == 3:
        return "sequence"
    if x.ndim == 2:
        return "text" if x.dtype.kind in "iu" and "text" in stem.lower() else "vector"
    raise UserError(
        f"x_train: expected (n, channels, height, width), (n, channels, time) or (n, features), got {x.shape}",
        key="x_train",
        found=x.shape,
    )


def arrays_of(path: Path) -> dict[str, Array]:
    """The entries of an .npz that mean something here."""
    try:
        opened = np.load(path, allow_pickle=False)
        if not isinstance(opened, np.lib.npyio.NpzFile):
            raise broken(path, "a single array, not an .npz with x_train, y_train, x_test, y_test")
        with opened as file:
            out: dict[str, Array] = {}
            for key in (*NEEDED, *_OPTIONAL):
                if key in file.files:
                    out[key] = _entry(path, file, key)
            return out
    except OSError as error:
        raise unreadable(path, error) from error
    except UserError:
        raise
    except Exception as error:  # a damaged zip raises nearly anything, see core.npz
        raise broken(path, "not an .npz of arrays") from error


def _entry(path: Path, file: np.lib.npyio.NpzFile, key: str) -> Array:
    try:
        return np.asarray(file[key])
    except ValueError as error:
        if "pickle" in str(error) or "Object" in str(error):
            raise UserError(
                f"{path.name}: {key} is an array of Python objects; only plain numbers are read",
                key=key,
                found="object",
            ) from error
        raise
