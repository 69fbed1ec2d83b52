"""How far a study is and how long the rest will take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from disue.study.leases import Holder
from disue.study.plan import Job


@dataclass(frozen=True)
class Said:
    """What a worker says of a run after a round; round −1: it has begun. `served` is the last accuracy evaluated."""

    key: str
    round: int
    rounds: int
    served: float | None
    seconds: float


@dataclass(frozen=True)
class Progress:
    """done, total of this phase; the run that just ended; those in hand; seconds left, None where nothing is known.

    by      the machine of the process that made the run that just ended; "" for this one
    others  machine → runs in the hands of processes other than this one
    lost    a sentence where another process took over a run that was in this one's hands
    """

    done: int
    total: int
    finished: Job | None
    going: tuple[tuple[Job, Said], ...]
    left: float | None
    passed: float
    ending: bool = False  # after Ctrl-C
    by: str = ""
    others: Mapping[str, int] = field(default_factory=dict)
    lost: str = ""


class Outlook:
    """Adds up what the workers say, and what the leases say of runs in other processes' hands.

    The rest is measured in rounds: a round of a row in a setting takes what it took so far there, else what rounds
    take on average.
    """

    def __init__(self, jobs: Sequence[Job], left: Sequence[Job], later: Sequence[Job], at_once: int) -> None:
        self._jobs = {str(job): job for job in left}
        self._ahead = {key: job.spec.rounds for key, job in self._jobs.items()}
        self._later = list(later)
        self._took: dict[tuple[str, str], list[float]] = {}
        self._going: dict[str, Said] = {}
        self._others: list[tuple[Job, Holder]] = []
        self._total, self._done, self._at_once = len(jobs), len(jobs) - len(left), at_once
        self._began = time.monotonic()

    def heard(self, said: Said) -> None:
        job = self._jobs[said.key]
        if said.key not in self._ahead:
            return
        self._going[said.key] = said
        self._ahead[said.key] = said.rounds - max(said.round, 0)
        if said.round > 0:
            self._took.setdefault((job.setting, job.method), []).append(said.seconds)

    def elsewhere(self, others: Sequence[tuple[Job, Holder]]) -> None:
        """Who else has which runs, with how far each is."""
        for job, holder in others:
            ahead = job.spec.rounds - max(holder.round, 0)
            if holder.round > 0 and ahead != self._ahead.get(str(job)):
                self._took.setdefault((job.setting, job.method), []).append(holder.seconds)
            self._ahead[str(job)] = ahead
        self._others = list(others)

    def finished(self, job: Job) -> None:
        self._done += 1
        self._ahead.pop(str(job), None)
        self.dropped(job)

    def dropped(self, job: Job) -> None:
        """A run that was in hand is no longer."""
        self._going.pop(str(job), None)
        self._others = [(other, holder) for other, holder in self._others if other is not job]

    def now(self, finished: Job | None = None, *, ending: bool = False, by: str = "", lost: str = "") -> Progress:
        going = tuple((self._jobs[key], said) for key, said in self._going.items())
        passed = time.monotonic() - self._began
        others = Counter(holder.host for _, holder in self._others)
        return Progress(self._done, self._total, finished, going, self._left(), passed, ending, by, others, lost)

    def _left(self) -> float | None:
        everything = [seconds for took in self._took.values() for seconds in took]
        if not everything:
            return None
        usual = sum(everything) / len(everything)
        rounds = [(self._jobs[key], ahead) for key, ahead in self._ahead.items()]
        rounds += [(job, job.spec.rounds) for job in self._later]
        work = 0.0
        for job, ahead in rounds:
            took = self._took.get((job.setting, job.method))
            work += ahead * (sum(took) / len(took) if took else usual)
        return work / min(self._at_once + len(self._others), max(len(rounds), 1))
