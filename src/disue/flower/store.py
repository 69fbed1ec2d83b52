"""What a site keeps on its own disk from message to message: its memory in versions, and what it did last.

    memory-00012.safetensors   the client's private memory as its answer of round 12 left it
    last.safetensors           the vectors and the answer of the exchange in hand
    measured.safetensors       the vectors that moments are measured under, in a protected run
    said.safetensors           the last answer to a message of the protected protocol, for when it is lost on the way
    layout.json                what the entries of the model's vector are
    protocol.json              what the protected protocol must remember; written before an answer leaves
    scores.csv                 accuracies on the site's own test data, for the site to look at

The server says in every message which answer of the client's it has counted last (`heard`): the memory of that round is
taken, so that an answer that came too late, or was lost with a server that died, leaves no trace.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from disue.core import tree
from disue.core.checks import Array
from disue.core.errors import UserError, unwritable
from disue.core.layout import Layout
from disue.runs.folder import write

MEMORY = re.compile(r"memory-(\d+)\.safetensors")


class Store:
    """The folder of one client in one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.chmod(folder, 0o700)
        except OSError as error:
            raise unwritable(folder, error) from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One message at a time: an answer that is late may still be at work when the next is asked for."""
        with (self.folder / "lock").open("a") as file:
            try:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed, or its process dies
            except ImportError:  # pragma: no cover
                pass
            yield

    # -- the client's memory ----------------------------------------------------------------------------

    def memory(self, heard: int) -> dict[str, Array]:
        """As the answer of round `heard`, or the last before it, left it; {} where there is none."""
        known = [round for round in self._rounds() if round <= heard]
        return {} if not known else self._read(self._memory(known[-1]))[0]

    def holds(self, round: int) -> bool:
        """Whether the memory that the answer of this round left is here."""
        return self._memory(round).exists()

    def keep(self, round: int, memory: Mapping[str, Array], heard: int, safe: int) -> None:
        """Writes a version; frees those that the server cannot ask for again.

        heard  what this one was made from: later versions are of answers that did not count, and never will
        safe   the round of the server's last checkpoint: it may go back to what it had heard then
        """
        self._write(self._memory(round), memory, {})
        known = [one for one in self._rounds() if one != round]
        needed = [one for one in known if one <= min(heard, safe)]
        for one in known:
            if one > heard or (needed and one < needed[-1]):
                self._memory(one).unlink(missing_ok=True)

    def _memory(self, round: int) -> Path:
        return self.folder / f"memory-{round:05d}.safetensors"

    def _rounds(self) -> list[int]:
        found = (MEMORY.fullmatch(path.name) for path in self.folder.glob("memory-*.safetensors"))
        return sorted(int(match[1]) for match in found if match)

    # -- the exchange in hand ---------------------------------------------------------------------------

    def last(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """(arrays, JSON) of the last exchange; empty where there was none."""
        path = self.folder / "last.safetensors"
        return self._read(path) if path.exists() else ({}, {})

    def put_last(self, arrays: Mapping[str, Array], about: Mapping[str, Any]) -> None:
        self._write(self.folder / "last.safetensors", arrays, about)

    def measured(self) -> dict[str, Array]:
        """The vectors that moments are measured under in the exchange in hand."""
        return self._read(self.folder / "measured.safetensors")[0]

    def put_measured(self, arrays: Mapping[str, Array]) -> None:
        self._write(self.folder / "measured.safetensors", arrays, {})

    def layout(self) -> Layout | None:
        """Of the model, where it was made before."""
        path = self.folder / "layout.json"
        if not path.exists():
            return None
        found: Layout = tree.put(
            {}, json.loads(path.read_text(encoding="utf-8")), tree.classes_of(None, [Layout]), str(path)
        )
        return found

    def put_layout(self, layout: Layout) -> None:
        write(self.folder / "layout.json", lambda file: file.write(json.dumps(tree.take(layout)[1]).encode()))

    # -- the protocol -----------------------------------------------------------------------------------

    def protocol(self) -> list[Any] | None:
        path = self.folder / "protocol.json"
        if not path.exists():
            return None
        try:
            found: list[Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: cannot be read ({error}); without it the site takes no part", key="store"
            ) from error
        return found

    def put_protocol(self, plain: list[Any]) -> None:
        write(self.folder / "protocol.json", lambda file: file.write(json.dumps(plain).encode()))

    def said(self, name: str) -> tuple[dict[str, Array], dict[str, Any]] | None:
        """(arrays, JSON) of the last answer to a message of the protocol, where it was to this one."""
        path = self.folder / "said.safetensors"
        arrays, about = self._read(path) if path.exists() else ({}, {"to": None})
        return None if about["to"] != name else (arrays, about["about"])

    def put_said(self, name: str, arrays: Mapping[str, Array], about: Mapping[str, Any]) -> None:
        self._write(self.folder / "said.safetensors", arrays, {"to": name, "about": dict(about)})

    # -- for the site -----------------------------------------------------------------------------------

    def score(self, row: Mapping[str, Any]) -> None:
        """Adds a line of accuracies."""
        path = self.folder / "scores.csv"
        known = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        names = known[0].split(",") if known else list(row)
        try:
            with path.open("a", newline="", encoding="utf-8") as file:
                out = csv.DictWriter(file, names, extrasaction="ignore")
                if not known:
                    out.writeheader()
                out.writerow(dict(row))
        except OSError as error:
            raise unwritable(path, error) from error

    # -- inside -----------------------------------------------------------------------------------------

    def _write(self, path: Path, arrays: Mapping[str, Array], about: Mapping[str, Any]) -> None:
        blob = save({n: np.array(v, order="C") for n, v in arrays.items()}, metadata={"disue": json.dumps(dict(about))})
        write(path, lambda file: file.write(blob))
        os.chmod(path, 0o600)

    def _read(self, path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return arrays, json.loads((file.metadata() or {})["disue"])
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise UserError(f"{path}: is damaged ({error})", key="store") from error
