"""Runs jobs in a few worker processes, one thread each; what is there already is not run again."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from disue.core.errors import UserError
from disue.runs.folder import read_json
from disue.runs.spec import Spec
from disue.study.plan import Job

Progress = Callable[[int, int, Job | None, float], object]


def done(job: Job, out: Path) -> dict[str, Any] | None:
    """The summary of a job that is complete, else None."""
    file = job.folder(out) / "summary.json"
    if not file.exists():
        return None
    found = read_json(file)
    return found if found.get("complete") else None


def work(tables: dict[str, Any], folder: str, data_dir: str | None) -> str:
    """One run, in a worker; a folder with a started run is resumed. Returns "" or the user's mistake."""
    from disue.api import resume, run

    path = Path(folder)
    spec = Spec.of(tables)
    try:
        started = (path / "spec.toml").exists()
        if started and (path / "spec.toml").read_text() != spec.toml():
            return f"{path}: holds another run; its spec.toml differs from this study's"
        if started:
            resume(path, data_dir=data_dir, report=False)
        else:
            run(spec, path, data_dir=data_dir, report=False)
    except UserError as error:
        return str(error)
    return ""


def _alone(tables: dict[str, Any]) -> dict[str, Any]:
    """The run's spec, training in its own process: the study's workers have the cores already."""
    engine = tables["engine"]
    return {**tables, "engine": {**engine, "workers": engine["workers"] or 1}}


def run_all(
    jobs: Sequence[Job], out: Path, *, workers: int = 2, data_dir: str | None = None, progress: Progress | None = None
) -> None:
    """Runs every job that is not complete; a worker that dies is replaced and its job taken up again once."""
    if workers < 1:
        raise UserError(f"workers must be ≥ 1, got {workers}", key="workers", found=workers)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MKL_NUM_THREADS", "1")
    left = [job for job in jobs if done(job, out) is None]
    total, finished, began, tries = len(left), 0, time.perf_counter(), 0
    while left:
        lost: list[Job] = []
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            waiting: dict[Future[str], Job] = {
                pool.submit(work, _alone(job.spec.tables()), str(job.folder(out)), data_dir): job for job in left
            }
            while waiting:
                ready, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ready:
                    job = waiting.pop(future)
                    try:
                        fault = future.result()
                    except BrokenProcessPool:
                        lost.append(job)
                        continue
                    if fault:
                        pool.shutdown(wait=False, cancel_futures=True)
                        raise UserError(f"{job.setting} / {job.method} / seed {job.seed}: {fault}", key="study")
                    finished += 1
                    if progress is not None:
                        each = (time.perf_counter() - began) / finished
                        progress(finished, total, job, each * (total - finished))
        tries += bool(lost)
        if lost and tries > 2:
            raise UserError(
                f"{len(lost)} runs died with their worker process (out of memory?), the first: {lost[0].folder(out)}",
                key="study",
            )
        left = lost
