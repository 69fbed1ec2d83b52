"""Checks of the bits: the same again, elsewhere, after an interruption, from the disk, on every backend."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from disue.core.checks import Array, IntVector
from disue.core.clients import personal_of
from disue.core.orders import Orders, Sight
from disue.engine.memory import MemoryStore
from disue.engine.plain import PlainUploads
from disue.runs.folder import Folder
from disue.runs.personal import personal_models, trial
from disue.runs.simulated import SimulatedRun
from disue.testing.compare import difference, parted
from disue.testing.fresh import elsewhere
from disue.testing.paced import paced
from disue.testing.play import Bed, set_up, trace, usual
from disue.testing.require import alike, require
from disue.testing.subject import Subject


def repeat(subject: Subject, backend: str) -> None:
    """Two runs in one process give the same bits."""
    alike(parted(trace(subject, backend=backend), trace(subject, backend=backend)), "two runs differ")


def processes(subject: Subject, backend: str) -> None:
    """Fresh processes with other hash seeds give the same bits."""
    here = usual(subject, backend)
    for other in elsewhere(subject, backend):
        alike(parted(here, other), "another process with another hash seed gives another result")


def resume(subject: Subject, backend: str) -> None:
    """A run that is interrupted after every round and resumed from its folder is the uninterrupted run."""
    whole = SimulatedRun(set_up(subject.scenario, subject.fresh(), backend), None)
    for _ in whole:
        pass
    with tempfile.TemporaryDirectory(prefix="disue-conformance-") as path:
        folder = Folder.fresh(Path(path) / "run")
        folder.json("env.json", {})
        for round in range(subject.scenario.rounds + 1):
            # everything is made anew: only what the folder holds has survived
            setup = set_up(subject.scenario, subject.fresh(), backend, checkpoint={"every": 1})
            part = SimulatedRun(setup, folder if round == 0 else Folder(folder.path))
            if round:
                part.restore()
                require(part.round == round - 1, f"after round {round - 1} the folder resumes at round {part.round}")
            next(iter(part))
            part.close()
        alike(difference(part.state, whole.state), "resumed after every round, the run ends otherwise")
        ours, theirs = (
            {i: dict(one.side.trainer.memory.get(i)) for i in one.side.trainer.memory.ids} for one in (part, whole)
        )
        alike(difference(ours, theirs, "memory"), "resumed after every round, clients keep something else")


def evaluation(subject: Subject, backend: str) -> None:
    """A run that is evaluated after every round is the run that is not, to the bit."""
    run = SimulatedRun(set_up(subject.scenario, subject.fresh(), backend), None)
    for record, seen in zip(run, usual(subject, backend), strict=True):
        require(record.evaluated, f"round {record.round} was not evaluated")
        kept = {i: dict(run.side.trainer.memory.get(i)) for i in run.side.trainer.memory.ids}
        why = difference(run.state, seen.state) or difference(kept, dict(seen.memories), "memory")
        alike(why, f"evaluated, the run differs after round {seen.round}")
    for client, model in personal_models(
        run.side.trainer, run.setup, run.state, run.setup.world.census.ordered
    ).items():
        require(bool(np.isfinite(model).all()), f"the model that client {client} makes for itself is not finite")


FEW = 64  # bytes of a memory that are not worth declaring: a step count, a mixing weight


def memory(subject: Subject, backend: str) -> None:
    """What clients keep is the same in RAM and on the disk, and no more than the method's `keeps` says."""
    bed = Bed(subject, backend=backend)
    held = list(bed.rounds())
    alike(parted(held, trace(subject, backend=backend, budget=0)), "with clients' memories on the disk the run differs")
    d = bed.world.layout.d
    for client, kept in held[-1].memories.items():
        took = sum(value.nbytes for value in kept.values())
        require(
            took <= 4 * d * bed.method.keeps + FEW,
            f"client {client} keeps {took} bytes ({', '.join(kept)}), and the method's `keeps` says "
            f"{bed.method.keeps} vectors of {d} numbers",
        )


# -- backends ----------------------------------------------------------------------------------------------

DOUBLE, SINGLE = 1e-9, 1e-5  # a whole exchange in float64; one step in float32, relative to max(1, |value|)


def backends(subject: Subject, backend: str) -> None:
    """The backend answers as the reference `loop` does: whole rounds in float64 to 1e-9, one step in float32 to 1e-5.

    Both answer the same orders in every exchange, and the method goes on with the reference's answer: rounding
    cannot add up, and a difference is one of this exchange. (After a whole round in float32 no two backends agree to
    1e-5: a difference in the last bit can flip a ReLU.)
    """
    for double in (True, False):
        _in_step(subject, backend, double)


def _in_step(subject: Subject, backend: str, double: bool) -> None:
    bed = Bed(subject, backend="loop", double=double)
    other = bed.engine_of(backend, double=double)

    def both(orders: Orders, answering: IntVector) -> PlainUploads:
        if orders.local is not None and not double:
            orders = replace(orders, local=paced(orders.local, epochs=1, steps=1))
        other.memory = MemoryStore()
        for client, kept in bed.memories().items():
            other.memory.put(client, kept)
        theirs = bed.engine.answer(bed.world, orders, answering)
        ours = other.answer(bed.world, orders, answering)
        what = "whole rounds in float64" if double else "one step in float32"
        alike(_apart(bed, other.memory, orders, ours, theirs), f"{backend} is not loop in {what}, round {orders.round}")
        return theirs

    bed.answer = both
    for seen in bed.rounds():
        if personal_of(bed.method.local) is not None and seen.round:
            ids = bed.world.census.ordered
            both(trial(bed.method.ask(bed.world, seen.state, ids)), ids)


def _apart(bed: Bed, memory: MemoryStore, orders: Orders, ours: PlainUploads, theirs: PlainUploads) -> str:
    """How the answers of two backends to the same orders differ; "" where they agree."""
    if ours.ids.tolist() != theirs.ids.tolist():
        return f"{ours.ids.tolist()} and {theirs.ids.tolist()} answered"
    if ours.steps != theirs.steps:
        return f"clients took {ours.steps} and {theirs.steps} steps"
    if Sight.CHOICE in orders.report.sight and not np.allclose(ours.choice(), theirs.choice(), atol=1e-6):
        return "clients chose otherwise"
    kept = bed.memories()
    for client in theirs.ids.tolist():
        pairs: list[tuple[str, Any, Any]] = [("end", ours.ends[client], theirs.ends[client])]
        pairs += _named("extra", ours.extras[client], theirs.extras[client])
        pairs += _named("memory", memory.get(client), kept.get(client, {}))
        for name, a, b in pairs:
            if why := _far(np.asarray(a), np.asarray(b)):
                return f"the {name} of client {client} is {why}"
    return ""


def _named(kind: str, ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> list[tuple[str, Any, Any]]:
    names = sorted({*ours, *theirs})
    return [(f"{kind} {name}", ours.get(name, np.zeros(0)), theirs.get(name, np.zeros(0))) for name in names]


def _far(a: Array, b: Array) -> str:
    if a.dtype != b.dtype or a.shape != b.shape:
        return f"{a.dtype} {a.shape}, expected {b.dtype} {b.shape}"
    if a.dtype.kind != "f":
        return "" if np.array_equal(a, b) else "another"
    scale = np.maximum(1.0, np.abs(b.astype(np.float64)))
    error = float((np.abs(a.astype(np.float64) - b) / scale).max(initial=0.0))
    bound = DOUBLE if a.dtype == np.float64 else SINGLE
    return "" if error <= bound else f"off by {error:.1e} where {bound:.0e} is allowed"
