"""The public calls: what the command line and a notebook use.

import disue
done = disue.run("spec.toml", out="runs/first", on_round=lambda record: print(record.round))
model = disue.load("runs/first").expert()
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from disue.core.errors import UserError
from disue.runs.folder import Claim, Folder, write_text
from disue.runs.interrupt import Interrupt, first_interrupt
from disue.runs.spec import Spec

if TYPE_CHECKING:
    from disue.engine.crew import Choice
    from disue.runs.federate import Federate, Record
    from disue.runs.simulation import Simulation
    from disue.runs.track import Tracks
    from disue.runs.trained import Trained

OnRound = Callable[["Record"], object]


class Stopped(UserError):
    """A run that was stopped before its last round; what it did is kept and can be resumed.

    signal  the number of the one that stopped it, 0 where none did
    """

    def __init__(self, message: str, *, key: str | None = None, signal: int = 0) -> None:
        super().__init__(message, key=key)
        self.signal = signal


def run(
    spec: str | Path | Mapping[str, Any] | Spec,
    out: str | Path | None = None,
    *,
    seed: int | None = None,
    data_dir: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    on_round: OnRound | None = None,
    report: bool = True,
    claim: Claim | None = None,
) -> dict[str, Any]:
    """Runs a spec to its end and returns its summary (see docs/spec.md for the keys).

    spec       a TOML file, tables, or a checked Spec
    out        the run's folder; None: nothing is written
    on_round   called after every round with a Record; what it returns, if "stop", ends the run early
    claim      the right to the folder where several machines share it, see `runs.folder.Claim`
    Raises UserError for every mistake in spec or data, Stopped where the run ended early.
    """
    changes = dict(overrides or {}) | ({} if seed is None else {"seed": seed})
    if isinstance(spec, Spec):
        checked = Spec.of(spec.tables(), changes) if changes else spec
    elif isinstance(spec, Mapping):
        checked = Spec.of(spec, changes)
    else:
        checked = Spec.read(spec, changes)
    folder = None if out is None else Folder.fresh(Path(out), claim)
    if folder is None:
        return _go(checked, None, data_dir, on_round, report=report)
    with folder.locked():
        write_text(folder.path / "spec.toml", checked.toml())
        return _go(checked, folder, data_dir, on_round, report=report)


def resume(
    path: str | Path,
    *,
    data_dir: str | Path | None = None,
    on_round: OnRound | None = None,
    report: bool = True,
    claim: Claim | None = None,
) -> dict[str, Any]:
    """Goes on with a run from its last checkpoint, bit for bit, and returns its summary."""
    where = Path(path)
    if not (where / "spec.toml").exists():
        raise UserError(f"{where}: holds no run (no spec.toml)", key="run")
    folder = Folder(where, claim)
    with folder.locked():
        return _go(Spec.read(where / "spec.toml"), folder, data_dir, on_round, report=report, again=True)


def load(path: str | Path) -> Trained:
    """What a run trained: `.expert()`, `.average()`, `.group(id)`, `.group_of(x, y)`, `.metrics`."""
    from disue.runs.trained import Trained

    return Trained.load(Path(path))


def export(path: str | Path, what: str, to: str | Path) -> Path:
    """Writes "expert", "average", "group:NUMBER" or "client:ID" of a run as safetensors, with layout and model name."""
    return load(path).export(what, to)


def _go(
    spec: Spec,
    folder: Folder | None,
    data_dir: str | Path | None,
    on_round: OnRound | None,
    *,
    report: bool,
    again: bool = False,
) -> dict[str, Any]:
    from disue import data
    from disue.runs.setup import about
    from disue.runs.simulated import SimulatedRun
    from disue.runs.simulation import prepare
    from disue.runs.track import Tracks

    tracks = Tracks(spec, None if folder is None else folder.path, again=again)
    saved = None
    if again and folder is not None and (folder.path / "partition.npz").exists():
        saved = data.Partition.load(folder.path / "partition.npz")
    setup = prepare(spec, data_dir, saved)
    recorded = _recorded(folder) if again and folder is not None else None
    with first_interrupt() as interrupted:  # to the very end: schedulers send SIGTERM more than once
        federate = SimulatedRun(setup, folder, recorded)
        try:
            if folder is not None:
                _describe(setup, folder, about(setup), recorded, fresh=saved is None)
                if federate.side.attacked is not None:
                    folder.json("attack.json", federate.side.attacked.about())
                if again:
                    federate.restore()
            return _rounds(federate, on_round, tracks, interrupted, report=report)
        finally:
            federate.close()


def through(
    federate: Federate, on_round: OnRound | None = None, tracks: Tracks | None = None, *, report: bool = True
) -> dict[str, Any]:
    """All rounds that are left of a run that is set up, then its summary and its report."""
    from disue.runs.track import Tracks

    if tracks is None:
        tracks = Tracks(federate.setup.spec, None if federate.folder is None else federate.folder.path)
    with first_interrupt() as interrupted:
        return _rounds(federate, on_round, tracks, interrupted, report=report)


def _rounds(
    federate: Federate, on_round: OnRound | None, tracks: Tracks, interrupted: Interrupt, *, report: bool
) -> dict[str, Any]:
    """All rounds that are left, then the summary."""
    from disue.runs.summary import summary
    from disue.runs.threads import one_thread

    folder, rounds = federate.folder, federate.setup.spec.rounds
    stopped, number = "", 0

    def event(said: tuple[str, ...]) -> None:
        if folder is not None:
            for text in said:
                folder.event(max(federate.round, 0), text)

    waiting = tracks.start(federate.round)
    with one_thread():
        for record in federate:
            said = (*waiting, *tracks.row(record.row))
            waiting = ()
            event(said)
            if said:
                record = dataclasses.replace(record, notes=(*record.notes, *said))
            if on_round is not None and on_round(record) == "stop":
                stopped = "on request"
            if interrupted.is_set():
                stopped, number = f"by {interrupted.name}", interrupted.number
            if stopped and record.round < rounds:
                break
    complete = federate.round >= rounds
    rows = folder.rounds if folder is not None else federate.rows
    with one_thread():
        result = summary(federate, rows, complete=complete)
    if folder is not None:
        federate.save()
        folder.json("summary.json", result)
        event((*waiting, *tracks.end(result)))
        if report:
            _report(folder)
    if not complete:
        hint = f"; go on with: disue resume {folder.path}" if folder is not None else ""
        sentence = f"stopped {stopped} after round {federate.round} of {rounds}{hint}"
        raise Stopped(sentence, key="stopped", signal=number)
    return result


def _recorded(folder: Folder) -> Choice | None:
    """The backend that a run began with."""
    from disue.engine.recall import from_table
    from disue.runs.folder import read_json

    path = folder.path / "env.json"
    found = read_json(path).get("engine") if path.exists() else None
    return None if found is None else from_table(found)


def _describe(
    setup: Simulation, folder: Folder, about: Mapping[str, Any], recorded: Choice | None, *, fresh: bool
) -> None:
    """The files that stand from the start: partition.npz, env.json, label counts for the report."""
    from disue.engine.recall import as_table

    folder.check()
    if fresh:
        setup.partition.save(folder.path / "partition.npz")
    engine = {} if recorded is None else {"engine": as_table(recorded)}
    folder.json("env.json", {**about, **engine})
    ids = np.sort(setup.ids)
    folder.keep({"labels": setup.federation.label_table(ids), "label_ids": ids})


def _report(folder: Folder) -> None:
    from disue.reports import report

    report([folder.path], folder.path / "report.html")


__all__ = ["OnRound", "Stopped", "export", "load", "resume", "run"]
