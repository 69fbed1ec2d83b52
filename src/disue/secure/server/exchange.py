"""Drives the server's machine through one round over a wire that carries bytes.

    exchange.open()      ROUND_OPEN, KEYS, KEYS_LIST, SEED          who takes part
    exchange.sketches()  SEED_RELAY, SKETCH or SIGNS                 sketches, in the order of who answered
    exchange.choices()   SEED_RELAY, CHOICE
    exchange.sums(…)     GROUPS … CLOSE                              one sum per group
    exchange.second()    what the second pass gave
    exchange.close()     ABORT, where the round is not at its end

Whoever does not answer a stage is gone for the rest of the round. A leader who does not deliver costs the attempt: the
round is opened again without it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from disue.core.checks import Float64, IntVector
from disue.secure.server import machine
from disue.secure.server.state import (
    COLLECTING,
    CONFIRMING,
    DONE,
    OPEN,
    SEEDING,
    SHARING,
    SKETCHING,
    UNMASKING,
    Deadline,
    Event,
    Failed,
    Group,
    Over,
    Round,
    Summed,
    Trained,
    opening,
)
from disue.secure.wire.hashes import u32
from disue.secure.wire.messages import Choice, Signs, Sketch, phase_of
from disue.secure.wire.names import LeaderMissing, Refusal, SecondSum, TooFewAlive
from disue.secure.wire.opening import Open
from disue.secure.wire.ring import Ring, decode
from disue.secure.wire.roster import Roster

STAGES = {
    OPEN: "keys", SEEDING: "seed", SKETCHING: "sketch", SHARING: "shares", COLLECTING: "masks", CONFIRMING: "unmask",
    UNMASKING: "unmask",
}  # fmt: skip


class Wire(Protocol):
    """Carries messages to roster indices and brings back what they answer until the deadline."""

    def send(self, messages: Sequence[tuple[int, bytes]]) -> Iterable[tuple[int, bytes]]: ...


class Transcript(Protocol):
    """Keeps every byte that the server's machine emits and consumes."""

    def down(self, index: int, message: bytes) -> None: ...

    def up(self, index: int, message: bytes) -> None: ...


@dataclass
class Cost:
    """Of one phase: process seconds at the server, bytes to it and from it."""

    seconds: float = 0.0
    up: int = 0
    down: int = 0


@dataclass(frozen=True, eq=False)
class Sum:
    """A sum over a group. alive  roster indices in it; total  (L,) modulo 2^64; sections  the same as numbers"""

    alive: IntVector
    total: Ring
    sections: tuple[Float64, ...]


class Exchange:
    """One round. `events` is what happened, refusals by name among it; `cost` is per phase."""

    def __init__(
        self,
        roster: Roster,
        opened: Open,
        wire: Wire,
        *,
        number: int,
        attempt: int = 0,
        transcript: Transcript | None = None,
    ) -> None:
        self.roster, self.wire, self.transcript = roster, wire, transcript
        self.round: Round = opening(roster, number, attempt, opened)
        self.events: list[Event] = []
        self.cost: dict[str, Cost] = {}
        self.summed: dict[int, dict[int, Summed]] = {0: {}, 1: {}}

    @property
    def opened(self) -> Open:
        """As it was last opened: without the leaders that cost an attempt."""
        return self.round.opened

    def open(self) -> IntVector:
        """(n,) roster indices of those who take part; the round's refusal where it fails."""
        while True:
            self._deliver(machine.begin(self.round))
            failed = self._failure()
            if failed is None:
                return self._there()
            missing = failed.culprit
            if not isinstance(failed, LeaderMissing) or missing is None:
                raise failed
            self.round = self._again()

    def sketches(self) -> tuple[IntVector, list[NDArray[np.int16]] | list[NDArray[np.uint8]]]:
        """Who sent one, and per slice (n, k) int16, or (n, k / 8) packed bits."""
        self._relayed()
        found = {who: message.body for who, message in sorted(self.round.answers.items())}
        bodies = [body for body in found.values() if isinstance(body, Sketch | Signs)]
        kind = "<i2" if all(isinstance(body, Sketch) for body in bodies) else "u1"
        slices = range(len(self.opened.slices))
        rows = [np.array([np.frombuffer(body.values[at], kind) for body in bodies]) for at in slices]
        if kind == "u1":
            return _indices(found), [np.asarray(row, np.uint8) for row in rows]
        return _indices(found), [np.asarray(row, np.int16) for row in rows]

    def choices(self) -> tuple[IntVector, IntVector]:
        """Who chose, and what each reported."""
        self._relayed()
        found = {
            who: message.body.choice
            for who, message in sorted(self.round.answers.items())
            if isinstance(message.body, Choice)
        }
        return _indices(found), np.array(list(found.values()), np.int64)

    def sums(self, groups: Mapping[int, Sequence[int]]) -> dict[int, Sum]:
        """The sum of each group by its id; a group whose sum failed is missing, and `events` says why."""
        asked = {int(number): tuple(sorted(int(index) for index in groups[number])) for number in groups}
        before = self.round.groups
        if before is not None:
            if dict(before.groups) != asked:
                raise SecondSum()
        elif asked:
            started = time.process_time()
            self.round, out, events = machine.step(self.round, Group(asked))
            self._spent(started, "shares")
            self._note(events)
            self._deliver(out)
        return self._sums(0)

    def second(self) -> dict[int, Sum]:
        """The sums of the second pass, by group id."""
        return self._sums(1)

    def close(self) -> None:
        """Ends the round where it stands, so that clients erase what they hold of it; a finished one is left alone."""
        self.round, out, events = machine.step(self.round, Over())
        self._note(events)
        self._deliver(out)

    def _sums(self, pass_: int) -> dict[int, Sum]:
        groups = () if self.round.groups is None else self.round.groups.groups
        found = {}
        for at, summed in self.summed[pass_].items():
            sections, start = [], 0
            for section in self.opened.part(pass_):
                sections.append(decode(summed.total[start : start + section.length], section.bits))
                start += section.length
            found[groups[at][0]] = Sum(np.array(summed.alive, np.int64), summed.total, tuple(sections))
        return found

    def _relayed(self) -> None:
        if self.round.stage != "TRAINING":
            return
        started = time.process_time()
        self.round, out, events = machine.step(self.round, Trained())
        self._spent(started, "sketch")
        self._note(events)
        self._deliver(out)

    def _there(self) -> IntVector:
        return np.array(self.round.there(tuple(self.round.keys)), np.int64)

    def _failure(self) -> Refusal | None:
        """Why the round as a whole ended, if it did."""
        if self.round.stage != DONE or self.round.groups is not None:
            return None
        return next(event.refusal for event in reversed(self.events) if isinstance(event, Failed))

    def _again(self) -> Round:
        """The next attempt, without whoever is gone."""
        gone = self.round.gone
        cohort = tuple((index, start) for index, start in self.opened.cohort if index not in gone)
        if len(cohort) < self.opened.quorum:
            raise TooFewAlive(len(cohort), self.opened.quorum)
        return opening(self.roster, self.round.number, self.round.attempt + 1, replace(self.opened, cohort=cohort))

    def _deliver(self, out: list[tuple[int, bytes]]) -> None:
        """Sends, takes in what comes back, and lets the deadline of every open stage pass, until all is quiet."""
        while out:
            out = self._answers(out)
            if not out:
                out = self._deadlines()

    def _answers(self, out: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        for index, message in out:
            self._cost(message).down += len(message)
            if self.transcript is not None:
                self.transcript.down(index, message)
        following: list[tuple[int, bytes]] = []
        for index, message in self.wire.send(out):
            if self.transcript is not None:
                self.transcript.up(index, message)
            cost = self._cost(message)
            cost.up += len(message)
            started = time.process_time()
            self.round, more, events = machine.step(self.round, message)
            cost.seconds += time.process_time() - started
            self._note(events)
            following += more
        return following

    def _deadlines(self) -> list[tuple[int, bytes]]:
        following: list[tuple[int, bytes]] = []
        stages = [Deadline(self.round.stage)]
        stages += [Deadline(one.stage, at) for at, one in self.round.sums.items() if one.stage != DONE]
        for deadline in stages:
            started = time.process_time()
            self.round, more, events = machine.step(self.round, deadline)
            self._spent(started, STAGES.get(deadline.stage, "keys"))
            self._note(events)
            following += more
        return following

    def _note(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Summed):
                self.summed[event.pass_][event.sum] = event
            self.events.append(event)

    def _spent(self, started: float, phase: str) -> None:
        self.cost.setdefault(phase, Cost()).seconds += time.process_time() - started

    def _cost(self, message: bytes) -> Cost:
        return self.cost.setdefault(phase_of(message), Cost())


def _indices(found: Mapping[int, object]) -> IntVector:
    return np.array(list(found), np.int64)


@dataclass
class Kept:
    """A transcript in memory: (direction, roster index, bytes), b"d" from the server and b"u" to it."""

    messages: list[tuple[bytes, int, bytes]] = field(default_factory=list)

    def down(self, index: int, message: bytes) -> None:
        self.messages.append((b"d", index, message))

    def up(self, index: int, message: bytes) -> None:
        self.messages.append((b"u", index, message))

    def pack(self) -> bytes:
        """One file: direction, index u32, length u32, message."""
        return b"".join(way + u32(index) + u32(len(message)) + message for way, index, message in self.messages)
