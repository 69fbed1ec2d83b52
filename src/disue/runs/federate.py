"""The loop of a run: cohort → orders → clients → told → evaluation → folder → checkpoint.

for record in Federate(setup, folder): ...     # one record a round, row 0 before any training
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from disue.core.checks import Float64, IntVector
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import Info, Told
from disue.core.orders import Orders
from disue.core.rounds import draw_cohort, finish
from disue.core.uploads import Uploads
from disue.evaluation import by_group, recovery
from disue.runs import checkpoint
from disue.runs.folder import Folder, Row, read_json
from disue.runs.lots import Standing, check
from disue.runs.setup import Setup
from disue.runs.side import ClientSide, Exchanged
from disue.runs.watch import remarks

LAST = 10  # rounds that are always evaluated


@dataclass(frozen=True, eq=False)
class Record:
    """What a round was: its row of rounds.csv, what was said, and how long the rest will take."""

    round: int
    rounds: int
    row: Row
    info: Info
    groups: dict[int, int]  # group → members
    cohort: IntVector
    seconds: float
    left: float
    evaluated: bool
    notes: tuple[str, ...] = ()  # sentences that are new in this round, the engine's among them


@dataclass
class Meter:
    """What one round's exchanges cost, added up at the door."""

    seconds_local: float = 0.0
    client_seconds: float = 0.0
    up: int = 0
    down: int = 0
    asked: int = 0
    answered: int = 0
    doors: list[Exchanged] = field(default_factory=list)
    losses: Mapping[int, float] = field(default_factory=dict)  # of the cohort: a survey's training is thrown away

    def close(self) -> None:
        """Reads the doors' traffic, after the method has asked them everything."""
        for door in self.doors:
            self.up += door.bytes_up
            self.down += door.bytes_down
            self.client_seconds += door.client_seconds


class Federate:
    """A run as an iterator of records. All that the next round needs is `state` and what the clients keep."""

    def __init__(self, setup: Setup, folder: Folder | None, side: ClientSide) -> None:
        self.setup, self.folder, self.side = setup, folder, side
        self._notes = (*setup.notes, *side.notes)  # known before the first round
        self._recorded = folder is None or "engine" in _known(folder)
        check(setup.spec, setup.method)
        self.lots = Standing()
        self.state: Any = None
        self.round = -1  # the last complete round
        self.ends: dict[int, Any] = {}
        self.took: list[float] = []
        self.rows: list[Row] = []  # of a run without a folder
        self._said: set[str] = set()  # what is said once

    # -- the loop ----------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Record]:
        rounds = self.setup.spec.rounds
        while self.round < rounds:
            began = time.perf_counter()
            told, meter, cohort = self._first() if self.round < 0 else self._play()
            if self.folder is not None:
                self.folder.check()
            self.state, self.round = told.state, self.round + 1
            row = self._row(told.info, meter, time.perf_counter() - began)
            due = self.due(self.round)
            if due:
                at = time.perf_counter()
                row.update(self._evaluate(told.info))
                row["seconds_evaluate"] = time.perf_counter() - at
            once = self.side.ended(row, self.folder)
            notes = self._new(told.info, meter, (*(remarks([*self._past(), row]) if due else ()), *once))
            self._keep(row, told.info, meter, notes)
            self.took.append(time.perf_counter() - began)
            every = self.setup.spec.checkpoint.every
            if self.round % every == 0 or self.round == rounds:
                self.save()
            groups = self.setup.method.standing(self.state)
            sizes = dict(zip(groups.numbers.tolist(), groups.sizes().tolist(), strict=True))
            recent = self.took[-20:]
            left = (rounds - self.round) * sum(recent) / len(recent)
            yield Record(self.round, rounds, row, told.info, sizes, cohort, self.took[-1], left, due, notes)

    def due(self, round: int) -> bool:
        """Whether a round is evaluated: every so often, and each of the last ten."""
        rounds = self.setup.spec.rounds
        return round % self.setup.spec.evaluate.every == 0 or round > rounds - LAST

    def _first(self) -> tuple[Told[Any], Meter, IntVector]:
        """Round 0: the initial state, with the survey where the method asks for one."""
        world, method = self.setup.world, self.setup.method
        meter = Meter()
        self.side.begin(0)
        told = finish(method, world, method.init(world, self.setup.start), self._answer(meter, 0))
        meter.close()
        meter.up += self._stand(Standing.cut(self.setup, method.standing(told.state)))
        return told, meter, np.zeros(0, np.int64)

    def _stand(self, lots: Standing) -> int:
        """From here on these lots stand. Returns the bytes of the label counts that all clients send once, for it."""
        self.lots = lots
        return 0 if lots.static is None else self.side.stand(lots.static)

    def _play(self) -> tuple[Told[Any], Meter, IntVector]:
        world, method = self.setup.world, self.setup.method
        meter = Meter()
        self.side.begin(self.round + 1)
        cohort = draw_cohort(world, self.round, self.setup.cohort, self.lots.cohort)
        answer = self._answer(meter, self.round)
        orders = method.ask(world, self.state, cohort).check(world.layout)
        uploads = answer(orders)
        self.ends, meter.losses = dict(meter.doors[0].ends), meter.doors[0].losses
        told = finish(method, world, method.tell(world, self.state, orders, uploads), answer)
        meter.asked, meter.answered = orders.ids.size, int(uploads.ids.size)
        meter.close()
        return told, meter, cohort

    def _answer(self, meter: Meter, round: int) -> Callable[[Orders], Uploads]:
        def answer(orders: Orders) -> Uploads:
            at = time.perf_counter()
            door = self.side.answer(orders, round)
            self._record()
            meter.seconds_local += time.perf_counter() - at
            meter.doors.append(door)
            return door

        return answer

    def _record(self) -> None:
        """Writes what trains the clients into env.json before anything that it computed is kept."""
        if self.folder is None or self._recorded:
            return
        table = self.side.engine()
        if table is not None:
            self._recorded = True
            self.folder.json("env.json", {**_known(self.folder), "engine": table})

    def close(self) -> None:
        """Ends the clients' workers."""
        self.side.close()

    # -- what a round leaves -----------------------------------------------------------------------------

    def _row(self, info: Info, meter: Meter, seconds: float) -> Row:
        expert = float(info.values.get("seconds_expert", 0.0))
        row: Row = {
            "round": self.round,
            "seconds_local": meter.seconds_local,
            "seconds_server": max(seconds - meter.seconds_local - expert, 0.0),
            "seconds_expert": expert,
            "seconds_evaluate": 0.0,
            "bytes_up": meter.up,
            "bytes_down": meter.down,
            "client_seconds": meter.client_seconds,
            "cohort": meter.asked,
            "answered": meter.answered,
        }
        dropped = sum(len(door.dropped) for door in meter.doors)
        if dropped:
            row["clients_dropped"] = dropped
        losses = [loss for loss in meter.losses.values() if np.isfinite(loss)]
        if losses:
            row["train_loss"] = float(np.mean(losses))
        row.update({name: float(value) for name, value in info.values.items() if name != "seconds_expert"})
        return row

    def _evaluate(self, info: Info) -> Row:
        world = self.setup.world
        found = self.side.evaluate(self.state, info, self.ends, self.round)
        groups = self.setup.method.standing(self.state)
        row: Row = dict(found.metrics)
        row.update(recovery(groups, world.truth, world.census.ordered))
        if self.folder is not None:
            self._tables(self.folder, groups, world.census.ordered, found.clients)
        return row

    def _tables(self, folder: Folder, groups: Groups, ids: IntVector, columns: Mapping[str, Float64]) -> None:
        """What an evaluation leaves of each client and of each group, made from columns."""
        sizes, of = self.side.sizes(ids), groups.at(ids)
        folder.clients(self.round, {"client": ids, "samples": sizes, "group": of, **columns})
        local = by_group(groups, ids, columns["group_local"]) if "group_local" in columns else {}
        placed = self.side.sizes(groups.ids)
        samples = np.bincount(groups.rows(groups.of), weights=placed, minlength=groups.numbers.size)
        listed = zip(groups.numbers, groups.parents, groups.sizes(), samples, strict=True)
        folder.append(
            "groups",
            [
                {"round": self.round, "group": int(g), "parent": int(parent), "members": int(n), "samples": int(held)}
                | ({"group_local": local[int(g)]} if int(g) in local else {})
                for g, parent, n, held in listed
            ],
        )

    def _past(self) -> Sequence[Row]:
        """The rows that were kept so far."""
        return self.rows if self.folder is None else self.folder.rounds

    def _new(self, info: Info, meter: Meter, remarks: tuple[str, ...]) -> tuple[str, ...]:
        """What there is to say of a round. What the doors say and the remarks are said once in a run."""
        heard = [*(note for door in meter.doors for note in door.notes), *remarks]
        once = [note for note in heard if note not in self._said]
        self._said.update(once)
        first = self._notes if self.round == 0 else ()
        return tuple(dict.fromkeys([*first, *info.notes, *once, *self.side.said()]))

    def _keep(self, row: Row, info: Info, meter: Meter, notes: tuple[str, ...]) -> None:
        if self.folder is None:
            self.rows.append(row)
            return
        for door in meter.doors:
            for text in door.dropped.values():
                self.folder.event(self.round, text)
        for note in notes:
            self.folder.event(self.round, note)
        shown = {name: value for name, value in info.arrays.items() if not name.startswith("teacher_")}
        last = self.round == self.setup.spec.rounds or (
            "similarity" in shown and "similarity" not in self.folder.arrays
        )
        if shown and (last or self.due(self.round)):
            groups = self.setup.method.standing(self.state)
            if "similarity_ids" in shown:
                shown["similarity_groups"] = groups.at(shown["similarity_ids"])
            self.folder.keep(shown)
        self.folder.row(row)

    # -- checkpoints -------------------------------------------------------------------------------------

    def save(self) -> None:
        """The commit point: memories first, then the state that names their version."""
        if self.folder is None:
            return
        self.folder.check()
        path = self.folder.path / "checkpoint"
        self.side.save(path, self.round)
        self.folder.check()
        checkpoint.save_state(path, self.round, self.state, self._meta())
        self.folder.check()
        self.side.drop(path, checkpoint.rounds(path))

    def _meta(self) -> dict[str, object]:
        return {
            "method": str(self.setup.spec.method["name"]),
            "fingerprint": self.setup.world.layout.fingerprint,
            "partition": self.setup.facts.hash,
            **({"lots": stand} if (stand := self.lots.plain()) else {}),
            **self.side.plain(),
        }

    def restore(self) -> int:
        """Goes back to the last checkpoint of the folder; −1 where there is none yet."""
        assert self.folder is not None
        path = self.folder.path / "checkpoint"
        if not checkpoint.rounds(path):
            self.folder.back_to(-1)
            self.side.restore(path, -1, {}, None)
            return -1
        template = self.setup.method.init(self.setup.world, self.setup.start).state
        saved = checkpoint.read_state(
            path,
            template,
            method=str(self.setup.spec.method["name"]),
            fingerprint=self.setup.world.layout.fingerprint,
        )
        if saved.meta.get("partition") != self.setup.facts.hash:
            raise UserError(
                f"{self.folder.path / 'partition.npz'}: is not the partition that this run's checkpoint belongs to",
                key="partition",
            )
        lots = Standing.read(saved.meta.get("lots", {}))
        self.side.restore(path, saved.round, saved.meta, lots.static)
        self._stand(lots)
        self.state, self.round = saved.state, saved.round
        self.folder.back_to(saved.round)
        self._said = {str(event["event"]) for event in self.folder.events}
        return saved.round


def _known(folder: Folder) -> dict[str, Any]:
    """What env.json says so far."""
    path = folder.path / "env.json"
    return read_json(path) if path.exists() else {}
