"""Runs side by side: two processes, one thread each, one line of progress per run."""

from __future__ import annotations

import multiprocessing
import os
import queue
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from disue.cli.tables import console, percent, seconds
from disue.core.errors import UserError
from disue.runs.spec import Spec

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from disue.runs.federate import Record

WORKERS = 2
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Said:
    """What a worker says after a round. `served` is the last accuracy evaluated."""

    label: str
    round: int
    rounds: int
    served: float | None
    left: float
    groups: int


_said: Queue[Said] | None = None  # of a worker process, set once at its start


def _begin(said: Queue[Said]) -> None:
    global _said
    _said = said


def _work(label: str, tables: dict[str, Any], folder: str) -> dict[str, Any]:
    from disue.api import run

    served: float | None = None

    def tell(record: Record) -> None:
        nonlocal served
        served = record.row.get("served_global", served)
        if _said is not None:
            _said.put(Said(label, record.round, record.rounds, served, record.left, len(record.groups)))

    return run(tables, folder, on_round=tell, report=False)


def run_side_by_side(
    specs: Mapping[str, Spec], folders: Mapping[str, Path], order: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Runs every spec into its folder and shows how far each is; returns the summaries by label."""
    for name in ONE_THREAD:  # inherited by the workers, read when their libraries load
        os.environ.setdefault(name, "1")
    context = multiprocessing.get_context("spawn")
    said: Queue[Said] = context.Queue()
    with ProcessPoolExecutor(WORKERS, mp_context=context, initializer=_begin, initargs=(said,)) as pool:
        try:
            runs = {label: pool.submit(_work, label, specs[label].tables(), str(folders[label])) for label in order}
            watch(said, runs, list(specs))
            return {label: run.result() for label, run in runs.items()}
        except BrokenProcessPool as error:
            raise UserError("a worker process died (out of memory?)", key="demo") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def watch(said: Queue[Said], runs: Mapping[str, Future[dict[str, Any]]], labels: Sequence[str]) -> None:
    """Shows what the workers say until all runs are done or one has failed."""
    last: dict[str, Said] = {}
    out = console()
    began = time.perf_counter()
    live = Live(_table(last, labels, 0.0), console=out, refresh_per_second=8) if out.is_terminal else None
    if live is not None:
        live.start()
    try:
        going = True
        while going:
            going = not all(run.done() for run in runs.values())
            if any(run.done() and run.exception() is not None for run in runs.values()):
                return
            _drain(said, last, None if live is not None else out.print)
            if live is not None:
                live.update(_table(last, labels, time.perf_counter() - began))
    finally:
        if live is not None:
            live.stop()


def _drain(said: Queue[Said], last: dict[str, Said], say: Any) -> None:
    """Takes what there is; without a live display every tenth round and the last is a line."""
    wait = 0.15
    while True:
        try:
            found = said.get(timeout=wait)
        except queue.Empty:
            return
        wait = 0.0
        last[found.label] = found
        if say is not None and (found.round % 10 == 0 or found.round == found.rounds):
            say(f"{found.label:22s} round {found.round}/{found.rounds}  served {percent(found.served)}", markup=False)


def _table(last: Mapping[str, Said], labels: Sequence[str], passed: float) -> Table:
    table = Table.grid(padding=(0, 2))
    for label in labels:
        found = last.get(label)
        done, rounds = (found.round, found.rounds) if found else (0, 1)
        table.add_row(
            Text(label, style="bold"),
            ProgressBar(total=rounds, completed=done, width=30),
            Text(f"round {done} of {rounds}" if found else "waiting", style="" if found else "dim"),
            Text(f"served {percent(found.served)} %" if found else ""),
            Text(f"{found.groups} groups" if found else "", style="dim"),
            Text(f"{seconds(found.left)} left" if found and done < rounds else "", style="dim"),
        )
    table.add_row(Text(f"{seconds(passed)} in all", style="dim"))
    return table
