"""What a worker process of a study does: one run after the other, telling of every round."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING, Any

from disue.api import Stopped
from disue.core.errors import UserError
from disue.runs.spec import Spec
from disue.study.place import other
from disue.study.progress import Said

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from disue.runs.federate import Record

_said: Queue[Said] | None = None
_stop: Event | None = None


def begin(said: Queue[Said], stop: Event) -> None:
    """Ctrl-C is the parent's to handle; a worker whose parent is gone ends at once (its run can be resumed)."""
    global _said, _stop
    _said, _stop = said, stop
    said.cancel_join_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def work(key: str, tables: dict[str, Any], folder: str, data_dir: str | None) -> tuple[str, str]:
    """One run; a folder with a started one is resumed. Returns ("done" | "stopped" | "fault", a sentence)."""
    from disue.api import resume, run

    served: float | None = None

    def tell(record: Record) -> str:
        nonlocal served
        served = record.row.get("served_global", served)
        if _said is not None:
            _said.put(Said(key, record.round, record.rounds, served, record.seconds))
        return "stop" if _stop is not None and _stop.is_set() else ""

    path = Path(folder)
    spec = Spec.of(tables)
    if _stop is not None and _stop.is_set():
        return "stopped", ""
    if _said is not None:
        _said.put(Said(key, -1, spec.rounds, None, 0.0))
    try:
        if (path / "spec.toml").exists():
            fault = other(spec, path)
            if fault:
                return "fault", fault
            resume(path, data_dir=data_dir, on_round=tell, report=False)
        else:
            run(spec, path, data_dir=data_dir, on_round=tell, report=False)
    except Stopped as error:
        return "stopped", str(error)
    except UserError as error:
        return "fault", str(error)
    return "done", ""


def alone(spec: Spec) -> dict[str, Any]:
    """The run's spec, training in its own process: the study's workers have the cores already."""
    tables = spec.tables()
    return {**tables, "engine": {**tables["engine"], "workers": tables["engine"]["workers"] or 1}}
