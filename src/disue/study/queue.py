"""Runs jobs in a few processes, one thread each; what is there already is not run again.

Any number of processes on any number of machines work on one folder: each takes a job by a lease (`leases`), and all
wait until every job is complete. A worker that dies is replaced and its job taken up again; when this process dies, its
workers die with it. After Ctrl-C or SIGTERM the runs in hand finish their round, are saved and given back.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from disue.api import Stopped
from disue.core.errors import UserError
from disue.runs.interrupt import first_interrupt
from disue.study.leases import EXPIRES
from disue.study.place import complete, done
from disue.study.plan import Job
from disue.study.progress import Outlook, Progress, Said
from disue.study.watch import Watch, name_of
from disue.study.worker import Task, alone, begin, work

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

OnProgress = Callable[[Progress], object]
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
DEATHS = 3  # of the process that runs a job, after which the job is given up
APART = 0.25  # seconds between two looks at what the workers say
LOOKS = 1.0  # at the leases


def run_all(
    jobs: Sequence[Job],
    out: Path,
    *,
    at_once: int = 2,
    data_dir: str | Path | None = None,
    on_progress: OnProgress | None = None,
    later: Sequence[Job] = (),
    lease: float = EXPIRES,
) -> None:
    """Runs every job that is not complete, or waits until another process has.

    at_once      processes
    on_progress  called when a run ends and, in between, a few times a second
    later        further jobs that will follow, for the time that is left
    lease        seconds after which others take over a run whose process does not answer
    Raises `Stopped` after Ctrl-C or SIGTERM, `UserError` where a run cannot be made or its process dies time and again.
    """
    if at_once < 1:
        raise UserError(f"jobs must be ≥ 1, got {at_once}", key="jobs", found=at_once)
    if not lease > 0:
        raise UserError(f"lease must be > 0 seconds, got {lease}", key="lease", found=lease)
    for name in ONE_THREAD:  # inherited by the workers, read when their libraries load
        os.environ.setdefault(name, "1")
    left = [job for job in jobs if done(job, out) is None]
    outlook = Outlook(jobs, left, [job for job in later if complete(job, out) is None], at_once)
    tell = on_progress or (lambda progress: None)
    tell(outlook.now())
    place = None if data_dir is None else str(data_dir)
    crew = _Crew(Watch(left, out, lease), outlook, tell, at_once, place)
    deaths: Counter[str] = Counter()
    suspects: list[Job] = []  # in hand when a process died: they go on one at a time, so that it shows whose it was
    with first_interrupt() as interrupted:
        while crew.watch.left and not interrupted.is_set():
            suspects = crew.turn(suspects, interrupted)
            deaths.update(str(job) for job in suspects)
            for job in suspects:
                if deaths[str(job)] >= DEATHS:
                    raise UserError(
                        f"{job}: its process died {DEATHS} times (out of memory?): {job.folder(out)}", key="study"
                    )
    if interrupted.is_set():
        there = sum(done(job, out) is not None for job in jobs)
        raise Stopped(
            f"stopped by {interrupted.name} with {there} of {len(jobs)} runs complete; the same command goes on",
            key="stopped",
            signal=interrupted.number,
        )


@dataclass
class _Crew:
    """This process's workers, and what they need."""

    watch: Watch
    outlook: Outlook
    tell: OnProgress
    at_once: int
    data_dir: str | None

    def turn(self, only: Sequence[Job], interrupted: threading.Event) -> list[Job]:
        """Runs jobs until all are done, a process has died, or Ctrl-C; returns those that were lost with a process.

        only  jobs to be run one at a time, until none of them is free
        """
        context = multiprocessing.get_context("spawn")
        said: Queue[Said] = context.Queue()
        stop = context.Event()
        lost: list[Job] = []
        going: dict[Future[tuple[str, str]], Job] = {}
        width = 1 if only else self.at_once
        pool = ProcessPoolExecutor(width, mp_context=context, initializer=begin, initargs=(said, stop))
        looked = -LOOKS
        try:
            while going or not (lost or stop.is_set()):
                if time.monotonic() - looked >= LOOKS:
                    self._look()
                    looked = time.monotonic()
                if not (lost or stop.is_set()):
                    self._fill(pool, width, only, going, lost)
                if not going and (lost or only or not self.watch.left):
                    break
                ready = wait(going, timeout=APART, return_when=FIRST_COMPLETED).done
                if not going:  # all that is left is in others' hands
                    interrupted.wait(APART)
                if interrupted.is_set():
                    stop.set()
                _heard(said, self.outlook)
                for future in ready:
                    self._ended(going.pop(future), future, lost)
                    looked = -LOOKS
                if lost:
                    _kill(pool)
                self.tell(self.outlook.now(ending=stop.is_set()))
        except KeyboardInterrupt:
            _kill(pool)
            raise
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        return lost

    def _look(self) -> None:
        for job, host in self.watch.look():
            self.outlook.finished(job)
            self.tell(self.outlook.now(job, by=host))
        self.outlook.elsewhere(self.watch.others())

    def _fill(
        self,
        pool: ProcessPoolExecutor,
        width: int,
        only: Sequence[Job],
        going: dict[Future[tuple[str, str]], Job],
        lost: list[Job],
    ) -> None:
        """Gives a job to every worker that has none, as far as there are free ones."""
        while len(going) < width:
            found = self.watch.next(only)
            if found is None:
                return
            job, after = found
            if done(job, self.watch.out) is not None:
                self.outlook.finished(self.watch.complete(job))
                self.tell(self.outlook.now(job))
                continue
            name = name_of(job)
            task = Task(
                str(job),
                alone(job.spec),
                job.folder(self.watch.out),
                self.data_dir,
                self.watch.folder,
                name,
                after,
                self.watch.expires,
            )
            try:
                going[pool.submit(work, task)] = job
            except BrokenProcessPool:
                lost.append(job)
                return
            self.watch.mine.add(name)

    def _ended(self, job: Job, future: Future[tuple[str, str]], lost: list[Job]) -> None:
        try:
            what, sentence = future.result()
        except BrokenProcessPool:
            what, sentence = "died", ""
            lost.append(job)
        if what == "fault":
            raise UserError(f"{job}: {sentence}", key="study")
        if what == "done":
            self.outlook.finished(self.watch.complete(job))
            self.tell(self.outlook.now(job))
            return
        self.watch.mine.discard(name_of(job))
        self.outlook.dropped(job)
        if what == "lost":
            self.tell(self.outlook.now(lost=f"{job}: {sentence}"))


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
