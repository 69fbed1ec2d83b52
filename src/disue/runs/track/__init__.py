"""A run's numbers, sent to a tracker as they come: TensorBoard, MLflow, Weights & Biases, or one of your own.

A tracker is told what rounds.csv gets and sees nothing else, so it cannot change a result. One that fails is left out
from there on, the run says so in events.csv and goes on.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from disue.core.errors import UserError, nearest
from disue.runs.folder import Row, read_json, write_text

if TYPE_CHECKING:
    from disue.runs.spec import Spec

KINDS = {
    "tensorboard": "disue.runs.track.tensorboard:TensorBoard",
    "mlflow": "disue.runs.track.mlflow:MLflow",
    "wandb": "disue.runs.track.wandb:WandB",
}
IDS = "track.json"  # in the run's folder: what a resumed run goes on with


class Tracker(Protocol):
    """Where numbers go. Made without arguments; whatever it raises is the run's event, not its end."""

    def start(self, spec: Spec, folder: Path, after: int) -> None:
        """Begins, or goes on: the rounds up to `after` were told before (−1: none)."""

    def row(self, round: int, values: Mapping[str, float]) -> None:
        """A round's numbers, as in rounds.csv."""

    def end(self, summary: Mapping[str, Any]) -> None:
        """The run is over, or stopped; `summary` is that of summary.json."""


def check(names: tuple[str, ...]) -> None:
    """Refuses a name that is neither known nor an import path."""
    for name in names:
        if name not in KINDS and ":" not in name:
            guess = nearest(name, list(KINDS))
            hint = f' Did you mean "{guess}"?' if guess else ""
            known = f"Known: {', '.join(KINDS)}, or your own as package.module:Class"
            raise UserError(
                f'track.to: unknown tracker "{name}". {known}.{hint}',
                key="track.to",
                found=name,
            )


class Tracks:
    """All trackers of a run. Every call returns the sentences that there are to say, mostly none."""

    def __init__(self, spec: Spec, folder: Path | None, *, again: bool = False) -> None:
        """again: the run is resumed, and then what is not installed is only said."""
        self.spec, self.folder = spec, folder
        self._trackers: dict[str, Tracker] = {}
        self._said: list[str] = []
        if spec.track.to and folder is None:
            raise UserError("track.to needs a run folder; give one (out)", key="track.to")
        for name in spec.track.to:
            try:
                self._trackers[name] = _make(name)
            except UserError as error:
                if not again:
                    raise
                self._said.append(f"{error}; nothing is tracked there")

    def start(self, after: int) -> tuple[str, ...]:
        folder = self.folder
        if folder is None:
            return ()
        return (*self._said, *self._each(lambda tracker: tracker.start(self.spec, folder, after)))

    def row(self, row: Row) -> tuple[str, ...]:
        if not self._trackers:
            return ()
        values = {k: float(v) for k, v in row.items() if k != "round" and isinstance(v, int | float)}
        return self._each(lambda tracker: tracker.row(int(row["round"]), values))

    def end(self, summary: Mapping[str, Any]) -> tuple[str, ...]:
        return self._each(lambda tracker: tracker.end(summary))

    def _each(self, call: Callable[[Tracker], None]) -> tuple[str, ...]:
        said = []
        for name, tracker in list(self._trackers.items()):
            try:
                call(tracker)
            except Exception as error:
                del self._trackers[name]
                what = " ".join(str(error).split())[:300]
                said.append(f"track: {name} failed and is left out from here on ({type(error).__name__}: {what})")
        return tuple(said)


def _make(name: str) -> Tracker:
    if name in KINDS and importlib.util.find_spec(name) is None:
        raise UserError(f'track.to: {name} is not installed; pip install "disue[tracking]"', key="track.to", found=name)
    module, _, attribute = KINDS.get(name, name).partition(":")
    try:
        made: Tracker = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError) as error:
        raise UserError(f"track.to: {name} cannot be imported ({error})", key="track.to", found=name) from error
    return made


def remembered(folder: Path, name: str, make: Callable[[], str]) -> str:
    """The tracker's name for this run: made once, then kept in the run's folder."""
    path = folder / IDS
    known = read_json(path) if path.exists() else {}
    if name not in known:
        known[name] = make()
        write_text(path, json.dumps(known, indent=1) + "\n")
    return str(known[name])


def title(folder: Path) -> str:
    """A run's name among others: the last parts of its folder."""
    return "/".join(folder.resolve().parts[-3:])


__all__ = ["IDS", "KINDS", "Tracker", "Tracks", "check", "remembered", "title"]
