"""Liars in a run: what they hold, what they send in the place of their answers, and what it did to the honest."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from disue.attacks import Said, lies
from disue.attacks.poison import Poison, Poisoned, Trigger
from disue.core.checks import Array, Float64, IntVector, Vector, frozen, positions
from disue.core.clients import Clients, private_of
from disue.core.groups import Groups
from disue.core.layout import WHOLE
from disue.core.method import Served
from disue.core.orders import SQUARE, Orders, Report
from disue.data import Dataset
from disue.engine.answers import Answer
from disue.engine.chores import Measuring
from disue.engine.engine import INFORMANTS, Engine
from disue.engine.measure import ClientMoments
from disue.engine.plain import PlainUploads
from disue.evaluation import Evaluation, backdoor, captured, honest
from disue.evaluation.accuracy import mean_loss
from disue.runs.attack import built
from disue.runs.simulation import Simulation

SURVEY = "survey"
MOST = 10  # liars of the target group who train for the others


class Attacked:
    """The liars of a run, between its engine and every door.

    lying     whether they do, in the round that is being played
    sketched  id → the end whose update is sketched in this exchange, of those who sum another
    """

    def __init__(self, setup: Simulation, trainer: Engine) -> None:
        self.setup, self.trainer = setup, trainer
        self.table: Mapping[str, Any] = setup.spec.attack
        self.attack, self.liars = built(self.table), setup.liars
        self.lying = False
        self.sketched: dict[int, Vector] = {}
        truth = setup.world.truth or {}
        target = int(self.table["target"])
        self.target = target if truth and target >= 0 else None
        inside = [i for i in self.liars.tolist() if target >= 0 and truth.get(i) == target]
        self.inside = np.array(inside if self.attack.needs_target else [], np.int64)
        self.trigger = trigger_of(self.attack, setup.dataset)
        self.declared = Declared(self, setup.federation)
        self.held: Clients = setup.federation

    @property
    def label(self) -> int:
        """The class that marked images are to be taken for."""
        return int(self.table.get("label", 0))

    def begin(self, round: int) -> None:
        """From here on exchanges belong to this round; from the first round of lies on, liars hold other data."""
        lying = max(round, 1) >= int(self.table["from_round"])
        if lying and not self.lying and self.liars.size and isinstance(self.attack, Poison):
            federation = self.setup.federation
            self.held = Poisoned(
                federation, self.liars, self.attack, federation.classes, self.trigger, self.setup.world.streams
            )
            self.trainer.hold(self.held)
        self.lying = lying

    # -- what they send ------------------------------------------------------------------------------------

    def over(self, orders: Orders, plain: PlainUploads) -> PlainUploads:
        """The answers with those of liars in the place of what they found."""
        self.sketched = {}
        if not self.lying or not self.liars.size:
            return plain
        answers = {answer.id: answer for answer in plain.answers}
        said = self._lies(orders, answers) if orders.local is not None else {}
        self.sketched = {i: one.sketched for i, one in said.items() if one.sketched is not None}
        changed = {i: self._answer(answers[i], said.get(i)) for i in self.liars.tolist() if i in answers}
        return plain.told(changed, self.measure)

    def _lies(self, orders: Orders, answers: Mapping[int, Answer]) -> dict[int, Said]:
        world, layout = self.setup.world, self.setup.world.layout
        moves = frozen(layout.mask(WHOLE) & ~private_of(orders.local, layout))
        into = orders.which if orders.into is None else orders.into
        at = dict(zip(answers, positions(np.array(list(answers), np.int64), orders.ids).tolist(), strict=True))
        none = np.zeros((0, layout.d), np.float32)
        inside = set(self.inside.tolist())
        said = {
            i: Said(
                i,
                answer.start,
                answer.end,
                answer.choice,
                orders.starts[into[at[i]]] if self.attack.likes else none,
                moves,
                inside=i in inside,
                survey=orders.stream == SURVEY,
            )
            for i, answer in answers.items()
        }
        same = {i: int(into[at[i], int(np.argmax(answer.choice))]) for i, answer in answers.items()}
        lying = [i for i in self.liars.tolist() if i in answers]

        def guide(row: int, insiders: Sequence[Said]) -> Float64 | None:
            return self._guide(orders, row, insiders)

        @functools.cache
        def liked() -> int | None:
            return self._liked(orders.starts[orders.which[at[lying[0]]]])

        return lies(self.attack, said, self.liars, same, world.streams, orders.round, guide, liked)

    def _guide(self, orders: Orders, row: int, insiders: Sequence[Said]) -> Float64 | None:
        """The mean update of liars inside the target group from a vector: asked to train from it where none was."""
        if insiders:
            return np.asarray(np.mean([said.update for said in insiders], axis=0), np.float64)
        ids = self.inside[:MOST]
        if not ids.size:
            return None
        trial = Orders(
            round=orders.round,
            ids=ids,
            starts=np.ascontiguousarray(orders.starts[row])[None, :],
            which=np.zeros((ids.size, 1), np.int64),
            extras=orders.extras,
            local=orders.local,
            report=Report(),
            stream=INFORMANTS,
        )
        found = self.trainer.answer(self.setup.world, trial).answers
        rows = [answer.end.astype(np.float64) - answer.start for answer in found]
        return np.asarray(np.mean(rows, axis=0), np.float64) if rows else None

    def _liked(self, models: Array) -> int | None:
        """The row with the least mean loss on the pooled data of liars inside the target group."""
        if not self.inside.size:
            return None
        pairs = [self.setup.federation.train(i) for i in self.inside.tolist()]
        x, y = np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])
        return int(np.argmin([mean_loss(self.setup.world.network, np.ascontiguousarray(m), x, y) for m in models]))

    def _answer(self, true: Answer, said: Said | None) -> Answer:
        answer = replace(true, labels=self.attack.counts(true.labels))
        if said is None or said.end is true.end:
            return answer
        extras = dict(true.extras)
        if SQUARE in extras:
            update = said.end.astype(np.float64) - said.start
            extras[SQUARE] = np.array([update @ update])
        received = true.received if said.start is true.start else said.start
        return replace(
            answer, received=received, start=said.start, end=frozen(said.end), choice=said.choice, extras=extras
        )

    def measure(self, asked: Measuring, round: int = 0) -> Iterator[tuple[int, ClientMoments, float]]:
        """(id, moments, seconds) of clients that measure; see `Engine.measure`."""
        lying = set(self.liars.tolist()) if self.lying and self.attack.measured | self.attack.counted else set()
        nothing = np.zeros(0, np.int64)
        for client, found, seconds in self.trainer.measure(asked, round):
            if client in lying:
                found = ClientMoments(*self.attack.moments(found, asked.without.get(client, nothing)))
            yield client, found, seconds

    # -- what it did ---------------------------------------------------------------------------------------

    def scored(self, found: Evaluation, served: Served, groups: Groups) -> Evaluation:
        """An evaluation with the figures of honest clients, of the backdoor, and of how often a liar got in."""
        world, ids = self.setup.world, found.ids
        truth = world.truth
        liars = np.isin(ids, self.liars)
        planted = groups.at(ids) if truth is None else np.array([truth.get(i, -1) for i in ids.tolist()], np.int64)
        metrics = dict(found.metrics) | honest(found.clients, ~liars, planted)
        if self.attack.needs_target and self.target is not None and truth is not None:
            metrics |= captured(groups.at(ids), planted, liars, self.target)
        if self.trigger is not None:
            metrics |= backdoor(
                world.network,
                served,
                ids,
                ~liars,
                self.setup.federation,
                self.trigger,
                self.label,
                on=self.setup.spec.evaluate.on,  # type: ignore[arg-type]
                streams=world.streams,
            )
        return Evaluation(metrics, ids, found.clients)

    def about(self) -> dict[str, Any]:
        """For the run's record: the table, and who lies."""
        return {**self.table, "liars": self.liars.tolist()}


@dataclass(frozen=True, eq=False)
class Declared:
    """The clients with the label counts that they declare."""

    said: Attacked
    clients: Clients

    @property
    def ids(self) -> IntVector:
        return self.clients.ids

    def size(self, client: int) -> int:
        return self.clients.size(client)

    def train(self, client: int) -> tuple[Array, IntVector]:
        return self.said.held.train(client)

    def label_counts(self, client: int) -> IntVector:
        own = self.said.held.label_counts(client)
        lies = self.said.lying and client in self.said.liars
        return self.said.attack.counts(own) if lies else own


def trigger_of(attack: object, dataset: Dataset) -> Trigger | None:
    """What marked test images carry, as bright as the brightest pixel of the data."""
    if not isinstance(attack, Poison) or dataset.kind != "image":
        return None
    bright = np.full((1, *dataset.shape), dataset.x_train.max(), dataset.x_train.dtype)
    return attack.trigger(dataset.inputs(bright)[0])


__all__ = ["Attacked", "Declared", "trigger_of"]
