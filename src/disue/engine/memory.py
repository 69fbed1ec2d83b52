"""The clients' private memories: one store for a simulation, in versions that a checkpoint names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from disue.core.checks import Array, frozen
from disue.core.clients import Memory
from disue.core.errors import UserError

FILES = 20  # a version that would need more files than these is written whole


class MemoryStore:
    """id → named arrays. What is put is copied; what is got is read-only.

    On disk a version is a file of what changed since the version before, with a table of the file that
    holds each client's memory. `save(folder, version)` writes it, the checkpoint then names the version,
    and `drop(folder, keep)` deletes what the checkpoints that remain do not need. So a run that is killed
    at any moment finds the memories of exactly the round of its checkpoint.
    """

    def __init__(self) -> None:
        self._held: dict[int, dict[str, Array]] = {}
        self._where: dict[int, int] = {}  # client → version of the file that holds its memory
        self._changed: set[int] = set()
        self._folder: Path | None = None

    @property
    def ids(self) -> list[int]:
        """Clients that have a memory, ascending."""
        return sorted(self._held)

    def get(self, client: int) -> Memory:
        return {name: frozen(value) for name, value in self._held.get(int(client), {}).items()}

    def put(self, client: int, memory: Memory) -> None:
        """Replaces a client's memory; an empty one is forgotten."""
        client = int(client)
        self._changed.add(client)
        if memory:
            self._held[client] = {name: np.array(value, order="C") for name, value in memory.items()}
        else:
            self._held.pop(client, None)

    # -- versions ----------------------------------------------------------------------------------

    def save(self, folder: Path, version: int) -> Path:
        """Writes the memories as they are now, as a version of this folder."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        keep = {i: at for i, at in self._where.items() if i not in self._changed and at != version}
        files = set(keep.values())
        if folder != self._folder or len(files) >= FILES or not all(_file(folder, at).exists() for at in files):
            keep = {}
        fresh = [client for client in self.ids if client not in keep]
        where = {client: keep.get(client, version) for client in self.ids}
        arrays = {f"{client}/{name}": value for client in fresh for name, value in self._held[client].items()}
        path = _file(folder, version)
        partial = path.with_suffix(".partial")
        save_file(arrays, partial, {"where": json.dumps({str(client): at for client, at in where.items()})})
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.replace(path)
        self._where, self._changed, self._folder = where, set(), folder
        return path

    def load(self, folder: Path, version: int) -> None:
        """Takes the memories of a version in place of those held."""
        where = _table(folder, version)
        held: dict[int, dict[str, Array]] = {}
        for at in sorted(set(where.values())):
            for key, value in _arrays(folder, at).items():
                client, _, name = key.partition("/")
                if where.get(int(client)) == at:
                    held.setdefault(int(client), {})[name] = value
        lost = sorted(set(where) - set(held))
        if lost:
            raise _damaged(_file(folder, where[lost[0]]), f"lacks the memory of client {lost[0]}")
        self._held, self._where, self._changed, self._folder = held, where, set(), folder

    @staticmethod
    def drop(folder: Path, keep: Iterable[int]) -> None:
        """Deletes the files that no version in `keep` needs: call it once their checkpoints are safe."""
        kept = set(keep)
        needed = {_file(folder, at) for version in kept for at in {version, *_table(folder, version).values()}}
        for path in folder.glob("memory-*.safetensors"):
            if path not in needed:
                path.unlink()


def _file(folder: Path, version: int) -> Path:
    return folder / f"memory-{version:06d}.safetensors"


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path}: {why}; the run cannot be resumed from here", key="checkpoint", found=str(path))


def _table(folder: Path, version: int) -> dict[int, int]:
    from safetensors import SafetensorError, safe_open

    path = _file(folder, version)
    try:
        with safe_open(path, framework="numpy") as opened:
            found: Mapping[str, str] = opened.metadata() or {}
        return {int(client): int(at) for client, at in json.loads(found["where"]).items()}
    except FileNotFoundError:
        raise _damaged(path, "there is no such file") from None
    except (SafetensorError, KeyError, ValueError) as error:
        raise _damaged(path, f"is damaged ({error})") from error


def _arrays(folder: Path, version: int) -> dict[str, Array]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = _file(folder, version)
    try:
        found: dict[str, Array] = load_file(path)
        return found
    except FileNotFoundError:
        raise _damaged(path, "there is no such file") from None
    except SafetensorError as error:
        raise _damaged(path, f"is damaged ({error})") from error
