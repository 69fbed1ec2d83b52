"""What a worker process of a study does: one run after the other, telling of every round."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING, Any

from disue.api import Stopped
from disue.core.errors import UserError
from disue.runs.spec import Spec
from disue.study.leases import DONE, LATE, LEFT, Lease, Lost
from disue.study.place import other
from disue.study.progress import Said

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from disue.runs.federate import Record

_said: Queue[Said] | None = None
_stop: Event | None = None


def begin(said: Queue[Said], stop: Event) -> None:
    """Ctrl-C and SIGTERM are the parent's to handle; a worker whose parent is gone ends at once (runs go on later)."""
    global _said, _stop
    _said, _stop = said, stop
    said.cancel_join_thread()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


@dataclass(frozen=True)
class Task:
    """A run that may be taken: `after` is the number of its last lease."""

    key: str
    tables: Mapping[str, Any]
    folder: Path
    data_dir: str | None
    leases: Path
    name: str
    after: int
    expires: float


def work(task: Task) -> tuple[str, str]:
    """One run; a folder with a started one is resumed. Returns what became of it and a sentence, which may be "".

    done      complete
    stopped   after a round, as asked
    taken     by another process before this one
    lost      to another process, while this one did not answer for longer than its lease
    fault     a mistake that the user can mend
    """
    if _stop is not None and _stop.is_set():
        return "stopped", ""
    lease = Lease.take(task.leases, task.name, task.after, task.expires)
    if lease is None:
        return "taken", ""
    state = LEFT
    try:
        _run(task, lease)
        state = DONE
    except Lost as error:
        return "lost", str(error)
    except Stopped as error:
        return "stopped", str(error)
    except UserError as error:
        return ("lost", LATE) if lease.lost else ("fault", str(error))
    except Exception:
        if not lease.lost:
            raise
        return "lost", LATE  # what it stumbled over is another process's work
    finally:
        lease.release(state)
    return "done", ""


def _run(task: Task, lease: Lease) -> None:
    from disue.api import resume, run

    served: float | None = None

    def tell(record: Record) -> str:
        nonlocal served
        served = record.row.get("served_global", served)
        lease.tell(record.round, record.seconds)
        if _said is not None:
            _said.put(Said(task.key, record.round, record.rounds, served, record.seconds))
        return "stop" if _stop is not None and _stop.is_set() else ""

    path, spec = task.folder, Spec.of(task.tables)
    if _said is not None:
        _said.put(Said(task.key, -1, spec.rounds, None, 0.0))
    if not (path / "spec.toml").exists():
        run(spec, path, data_dir=task.data_dir, on_round=tell, report=False, claim=lease)
        return
    fault = other(spec, path)
    if fault:
        raise UserError(fault, key="study")
    resume(path, data_dir=task.data_dir, on_round=tell, report=False, claim=lease)


def alone(spec: Spec) -> dict[str, Any]:
    """The run's spec, training in its own process: the study's workers have the cores already."""
    tables = spec.tables()
    return {**tables, "engine": {**tables["engine"], "workers": tables["engine"]["workers"] or 1}}
