"""Runs jobs in a few processes, one thread each; what is there already is not run again.

A process that dies is replaced and its job taken up again; when this process dies, its workers die with it. After
Ctrl-C the runs in hand finish their round and are saved.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from disue.api import Stopped
from disue.core.errors import UserError
from disue.study.place import complete, done
from disue.study.plan import Job
from disue.study.progress import Outlook, Progress, Said
from disue.study.worker import alone, begin, work

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

OnProgress = Callable[[Progress], object]
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
DEATHS = 3  # of the process that runs a job, after which the job is given up
APART = 0.25  # seconds between two looks at what the workers say


def run_all(
    jobs: Sequence[Job],
    out: Path,
    *,
    at_once: int = 2,
    data_dir: str | Path | None = None,
    on_progress: OnProgress | None = None,
    later: Sequence[Job] = (),
) -> None:
    """Runs every job that is not complete.

    at_once      processes
    on_progress  called when a run ends and, in between, a few times a second
    later        further jobs that will follow, for the time that is left
    Raises `Stopped` after Ctrl-C, `UserError` where a run cannot be made or its process dies again and again.
    """
    if at_once < 1:
        raise UserError(f"jobs must be ≥ 1, got {at_once}", key="jobs", found=at_once)
    for name in ONE_THREAD:  # inherited by the workers, read when their libraries load
        os.environ.setdefault(name, "1")
    left = [job for job in jobs if done(job, out) is None]
    outlook = Outlook(jobs, left, [job for job in later if complete(job, out) is None], at_once)
    if on_progress is not None:
        on_progress(outlook.now())
    deaths: Counter[str] = Counter()
    suspects: list[Job] = []  # in hand when a process died: they go on one at a time, so that it shows whose it was
    place = None if data_dir is None else str(data_dir)
    with _interrupts() as interrupted:
        while left and not interrupted.is_set():
            width = 1 if suspects else at_once
            suspects = _turn(suspects or left, out, width, place, outlook, on_progress, interrupted)
            deaths.update(str(job) for job in suspects)
            for job in suspects:
                if deaths[str(job)] >= DEATHS:
                    raise UserError(
                        f"{job}: its process died {DEATHS} times (out of memory?): {job.folder(out)}", key="study"
                    )
            left = [job for job in left if done(job, out) is None]
    if interrupted.is_set():
        there = sum(done(job, out) is not None for job in jobs)
        raise Stopped(
            f"stopped by Ctrl-C with {there} of {len(jobs)} runs complete; the same command goes on", key="stopped"
        )


def _turn(
    left: Sequence[Job],
    out: Path,
    at_once: int,
    data_dir: str | None,
    outlook: Outlook,
    on_progress: OnProgress | None,
    interrupted: threading.Event,
) -> list[Job]:
    """Runs jobs until none is left, one process has died, or Ctrl-C; returns those that were lost with a process."""
    context = multiprocessing.get_context("spawn")
    said: Queue[Said] = context.Queue()
    stop = context.Event()
    ahead = list(reversed(left))
    lost: list[Job] = []
    going: dict[Future[tuple[str, str]], Job] = {}
    pool = ProcessPoolExecutor(at_once, mp_context=context, initializer=begin, initargs=(said, stop))
    try:
        while going or (ahead and not lost and not stop.is_set()):
            while ahead and len(going) < at_once and not lost and not stop.is_set():
                job = ahead.pop()
                try:
                    future = pool.submit(work, str(job), alone(job.spec), str(job.folder(out)), data_dir)
                except BrokenProcessPool:
                    lost.append(job)
                    break
                going[future] = job
            ready, _ = wait(going, timeout=APART, return_when=FIRST_COMPLETED)
            if interrupted.is_set():
                stop.set()
            _heard(said, outlook)
            for future in ready:
                job = going.pop(future)
                try:
                    what, fault = future.result()
                except BrokenProcessPool:
                    lost.append(job)
                    continue
                if what == "fault":
                    raise UserError(f"{job}: {fault}", key="study")
                if what == "done":
                    outlook.finished(job)
                    if on_progress is not None:
                        on_progress(outlook.now(job))
            if on_progress is not None:
                on_progress(outlook.now(ending=stop.is_set()))
    except KeyboardInterrupt:
        _kill(pool)
        raise
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
    return lost


def _heard(said: Queue[Said], outlook: Outlook) -> None:
    while True:
        try:
            outlook.heard(said.get_nowait())
        except queue.Empty:
            return


def _kill(pool: ProcessPoolExecutor) -> None:
    """Ends the workers at once; a run can be killed at any point and resumed."""
    for process in list((pool._processes or {}).values()):
        process.kill()


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """The first Ctrl-C sets the event, the second one breaks off."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
