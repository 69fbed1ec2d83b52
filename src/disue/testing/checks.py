"""The list of checks, and a check bound to a method and a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from disue.core.errors import unknown
from disue.engine.interface import Work
from disue.runs.threads import one_thread
from disue.testing import bits, claims, clients, groups
from disue.testing.play import BACKENDS, Bed
from disue.testing.subject import Subject

Function: TypeAlias = Callable[[Subject, str], None]

CHECKS: Mapping[str, Function] = {
    "backends": bits.backends,
    "repeat": bits.repeat,
    "processes": bits.processes,
    "resume": bits.resume,
    "evaluation": bits.evaluation,
    "memory": bits.memory,
    "places": clients.places,
    "names": clients.names,
    "order": clients.order,
    "untouched": clients.untouched,
    "partition": groups.partition,
    "lineage": groups.lineage,
    "absent": clients.absent,
    "one-client": groups.one_client,
    "one-class": groups.one_class,
    "one-sample": groups.one_sample,
    "empty-group": groups.empty_group,
    "silence": groups.silence,
    "rest": claims.rest,
    "identities": claims.identities,
    "toml": claims.toml,
}


@dataclass(frozen=True)
class Check:
    """A check of a method on a backend: call it. It returns nothing, or raises `AssertionError` with one sentence."""

    name: str
    subject: Subject
    backend: str

    def __call__(self) -> None:
        with one_thread():
            try:
                CHECKS[self.name](self.subject, self.backend)
            except AssertionError as error:
                raise AssertionError(f"{self}: {error}") from error
            except Exception as error:  # a method that cannot be run fails whatever is checked
                raise AssertionError(f"{self}: raised {type(error).__name__}: {error}") from error

    def __str__(self) -> str:
        return f"{self.subject.name}-{self.backend}-{self.name}"

    @property
    def about(self) -> str:
        """What it checks, the first line of its docstring."""
        return (CHECKS[self.name].__doc__ or "").partition("\n")[0]


def bound(
    subject: Subject, backends: Iterable[str] = BACKENDS, only: Iterable[str] = (), without: Iterable[str] = ()
) -> list[Check]:
    """The checks that apply to a method, on each backend."""
    names, left_out = list(only) or list(CHECKS), set(without)
    for name in [*names, *left_out]:
        if name not in CHECKS:
            raise unknown("check", name, CHECKS)
    for name in backends:
        if name not in BACKENDS:
            raise unknown("backend", name, BACKENDS)
    return [
        Check(name, subject, backend)
        for backend in backends
        for name in names
        if name not in left_out and _applies(name, subject, backend)
    ]


def _applies(name: str, subject: Subject, backend: str) -> bool:
    """`loop` is what the others are held to; identities and specs are checked where there are some."""
    if name == "backends":
        return backend != "loop"
    if name == "identities":
        return bool(subject.identities)
    return name != "toml" or subject.tables is not None


def trained_by(subject: Subject, backend: str) -> str:
    """Why `lean` trains the method in the place of this backend, as the end of a sentence; "" where it does itself."""
    from disue.engine.registry import make

    bed = Bed(subject, backend=backend)
    work = Work(bed.world.network, bed.world.streams, "batches", 0)
    found: Any = make(backend)
    return str(found.refuses(work, bed.method.local))
