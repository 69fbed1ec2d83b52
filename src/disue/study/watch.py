"""What one process sees of a study's runs: which are done, which others have, which it may take."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from disue.core.errors import unwritable
from disue.study.leases import DONE, EXPIRES, FOLDER, HELD, Holder
from disue.study.place import done
from disue.study.plan import Job


@dataclass(frozen=True)
class Seen:
    """The last lease of a run: its number and text, and from when until when it was read as that, by our own clock."""

    number: int
    text: str
    holder: Holder
    since: float
    until: float

    @property
    def free(self) -> bool:
        """Whether it is given back, its process has ended, or its time is up."""
        late = self.until - self.since > self.holder.expires
        return self.holder.state != HELD or late or self.holder.gone


class Watch:
    """The runs of a study that are left.

    expires  seconds, of leases that are just being made; the others say it themselves
    mine     those in this process's hands
    """

    def __init__(self, jobs: Sequence[Job], out: Path, expires: float = EXPIRES) -> None:
        self.out, self.folder, self.expires = out, out / FOLDER, expires
        self.left = {name_of(job): job for job in jobs}
        self.mine: set[str] = set()
        self._seen: dict[str, Seen] = {}

    def look(self) -> list[tuple[Job, str]]:
        """Reads the leases; returns what other processes have completed since the last look, and on which machine."""
        last: dict[str, int] = {}
        for name in self._names():
            run, _, digits = name.rpartition(".")
            if run in self.left and digits.isdigit():
                last[run] = max(last.get(run, 0), int(digits))
        for run, number in last.items():
            self._seen[run] = self._read(run, number, self._seen.get(run))
        ended = [(run, seen.holder) for run, seen in self._seen.items() if run in self.left and run not in self.mine]
        return [
            (self.complete(self.left[run]), holder.host)
            for run, holder in ended
            if holder.state == DONE and done(self.left[run], self.out) is not None
        ]

    def _read(self, run: str, number: int, old: Seen | None) -> Seen:
        if old is not None and (old.number > number or (old.number == number and old.holder.state != HELD)):
            return old
        before = time.monotonic()
        text = self._text(f"{run}.{number}")
        if old is not None and (old.number, old.text) == (number, text):
            return replace(old, until=before)
        after = time.monotonic()
        return Seen(number, text, Holder.read(text, self.expires), after, after)

    def next(self, among: Sequence[Job] = ()) -> tuple[Job, int] | None:
        """The first job that is free, with the number of its last lease; of those given, where there are any.

        Ask after `look`: what was free then and is not done now is taken by making the lease of the next number.
        """
        for run, job in self.left.items():
            seen = self._seen.get(run)
            if run not in self.mine and (not among or job in among) and (seen is None or seen.free):
                return job, 0 if seen is None else seen.number
        return None

    def others(self) -> list[tuple[Job, Holder]]:
        """The jobs in other processes' hands."""
        return [
            (self.left[run], seen.holder)
            for run, seen in self._seen.items()
            if run in self.left and run not in self.mine and not seen.free
        ]

    def complete(self, job: Job) -> Job:
        """Notes that a job is done, whoever did it."""
        self.mine.discard(name_of(job))
        del self.left[name_of(job)]
        return job

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def name_of(job: Job) -> str:
    """A run's name among the leases: its folder's, in one word."""
    return "_".join(job.folder(Path()).parts)
