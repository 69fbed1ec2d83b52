"""The state of a run as one safetensors file, written atomically; the file's name is the commit point.

Its metadata hold the skeleton of the state (see `core.tree`), the method, the layout's fingerprint and the
version of the clients' private memories that belongs to it. No pickle is read or written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from disue.core import tree
from disue.core.checks import Array
from disue.core.errors import UserError
from disue.runs.folder import FORMAT, READS, write

NAME = re.compile(r"round-(\d+)\.safetensors")


@dataclass(frozen=True)
class Saved:
    """A checkpoint as read."""

    round: int
    state: Any
    meta: Mapping[str, Any]


def save_state(folder: Path, round: int, state: object, meta: Mapping[str, object]) -> Path:
    """Writes `folder/round-00012.safetensors`; the one before is dropped afterwards."""
    arrays, skeleton = tree.take(state)
    about = {**meta, "format": FORMAT, "round": round, "skeleton": skeleton}
    # safetensors keeps no zero-dimensional shapes apart from (), and needs contiguous arrays: both hold here
    blob = save(dict(arrays), metadata={"disue": json.dumps(about)})
    path = folder / f"round-{round:05d}.safetensors"
    write(path, lambda file: file.write(blob))
    for old in rounds(folder)[:-1]:
        (folder / f"round-{old:05d}.safetensors").unlink(missing_ok=True)
    return path


def rounds(folder: Path) -> list[int]:
    """The rounds that have a checkpoint, ascending."""
    found = (NAME.fullmatch(path.name) for path in folder.glob("round-*.safetensors"))
    return sorted(int(match[1]) for match in found if match)


def read_state(folder: Path, template: object, *, method: str, fingerprint: str, round: int | None = None) -> Saved:
    """The last checkpoint (or that of a round); `template` is a state of the method, for its classes."""
    known = rounds(folder)
    if not known or (round is not None and round not in known):
        what = "no checkpoint" if not known else f"no checkpoint of round {round}, only of {known}"
        raise UserError(f"{folder}: there is {what}", key="checkpoint")
    path = folder / f"round-{known[-1] if round is None else round:05d}.safetensors"
    arrays, about = _read(path)
    if about.get("format") not in READS:
        raise UserError(f"{path}: is of format {about.get('format')}, this version reads {READS}", key="checkpoint")
    for name, want in (("method", method), ("fingerprint", fingerprint)):
        if about.get(name) != want:
            raise UserError(
                f'{path}: belongs to another run: its {name} is "{about.get(name)}", this run\'s is "{want}"',
                key="checkpoint",
            )
    state = tree.put(arrays, about["skeleton"], tree.classes_of(template), str(path))
    return Saved(int(about["round"]), state, about)


def _read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    try:
        with safe_open(path, framework="numpy") as file:
            meta = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(meta["disue"])
        assert isinstance(about, dict)
        return arrays, about
    except (SafetensorError, OSError, ValueError, KeyError, AssertionError) as error:
        raise UserError(f"{path}: is no whole checkpoint of disue ({error})", key="checkpoint") from error
