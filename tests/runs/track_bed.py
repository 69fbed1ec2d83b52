"""Trackers of a user's own, found by import path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disue.runs.spec import Spec


class Recorder:
    """Writes down all that it is told."""

    def start(self, spec: Spec, folder: Path, after: int) -> None:
        self.path = folder / "told.jsonl"
        self._write({"start": after, "method": spec.method["name"]})

    def row(self, round: int, values: Mapping[str, float]) -> None:
        self._write({"round": round, **values})

    def end(self, summary: Mapping[str, Any]) -> None:
        self._write({"end": summary["complete"], "served": summary["metrics"]["served_global"]["last10"]})

    def _write(self, line: Mapping[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


class Broken(Recorder):
    """Fails at the call that its class names."""

    at = ""

    def start(self, spec: Spec, folder: Path, after: int) -> None:
        if self.at == "start":
            raise OSError("no\nserver")

    def row(self, round: int, values: Mapping[str, float]) -> None:
        if self.at == "row" and round == 2:
            values.clear()  # type: ignore[attr-defined]  # what it does to its copy harms nobody
            raise ValueError("full")

    def end(self, summary: Mapping[str, Any]) -> None:
        if self.at == "end":
            raise RuntimeError("gone")


class AtStart(Broken):
    at = "start"


class AtRow(Broken):
    at = "row"


class AtEnd(Broken):
    at = "end"
