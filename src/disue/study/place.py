"""A study's folder, and which of its runs are complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from disue.core.errors import UserError, unwritable
from disue.runs.folder import read_json
from disue.runs.spec import Spec
from disue.study.plan import Job

FREE = {"track": None, "checkpoint": None, "engine": ("workers", "memory")}  # keys that no result depends on


def opened(out: Path) -> Path:
    """A study's folder, made where there is none."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error) from error
    return out


def complete(job: Job, out: Path) -> dict[str, Any] | None:
    """The summary in a job's folder if its run is complete, whatever its spec."""
    path = job.folder(out) / "summary.json"
    found = read_json(path) if path.exists() else {}
    return found if found.get("complete") else None


def done(job: Job, out: Path) -> dict[str, Any] | None:
    """The summary of a job that is complete, else None; a folder that holds another run is refused."""
    found = complete(job, out)
    fault = other(job.spec, job.folder(out)) if found is not None else ""
    if fault:
        raise UserError(fault, key="study")
    return found


def other(spec: Spec, folder: Path) -> str:
    """A sentence where the folder holds a run whose results are not those of `spec`."""
    there = Spec.read(folder / "spec.toml").tables()
    for name, wanted in spec.tables().items():
        free = FREE.get(name, ())
        if free is None or there.get(name) == wanted:
            continue
        if not isinstance(wanted, dict):
            return _differs(folder, name, there.get(name), wanted)
        for key in dict.fromkeys([*wanted, *there[name]]):
            if key not in free and there[name].get(key) != wanted.get(key):
                return _differs(folder, f"{name}.{key}", there[name].get(key), wanted.get(key))
    return ""


def _differs(folder: Path, key: str, there: object, wanted: object) -> str:
    return f"{folder}: holds a run with {key} = {there!r}, the study asks for {wanted!r}; give another --out"
