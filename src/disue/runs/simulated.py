"""Clients in this process: the engine trains them, availability decides who answers, the protocol hides them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from disue.core.checks import Array, IntVector, Vector
from disue.core.clients import Clients
from disue.core.lots import Lots
from disue.core.method import Info
from disue.core.orders import Orders
from disue.core.statics import Statics
from disue.engine.availability import answering
from disue.engine.crew import Choice
from disue.engine.engine import Engine
from disue.engine.memory import MIB, MemoryStore, foreseen
from disue.engine.precision import sentence
from disue.engine.recall import as_table
from disue.engine.traffic import COUNT
from disue.evaluation import Evaluation, evaluate, hundred, taught
from disue.runs import newcomers
from disue.runs.attacked import Attacked
from disue.runs.federate import Federate
from disue.runs.folder import Folder, Row
from disue.runs.lots import least
from disue.runs.personal import personal_models
from disue.runs.side import Exchanged
from disue.runs.simulation import Simulation

if TYPE_CHECKING:
    from disue.runs.protect import Simulated as Protection


class Simulated:
    """See `side.ClientSide`.

    choice  the backend that was recorded when the run began, so that it goes on with it
    """

    randomness = "named streams of the run: it repeats, and hides nothing from whoever knows the seed"

    def __init__(self, setup: Simulation, folder: Folder | None = None, choice: Choice | None = None) -> None:
        self.setup = setup
        spec = setup.spec
        memories = None if folder is None else folder.path / "checkpoint" / "memory"
        budget = spec.engine.memory * MIB
        notes = [*filter(None, [sentence(spec.engine.precision, spec.engine.device)])]
        if setup.method.keeps:
            between = setup.cohort * spec.checkpoint.every  # clients asked from one checkpoint to the next
            d, clients = setup.world.layout.d, setup.ids.size
            notes.append(foreseen(d, clients, setup.method.keeps, between, budget=budget, folder=memories))
        self.notes = tuple(notes)
        self.trainer = Engine(
            setup.federation,
            memory=MemoryStore(budget, memories, None if folder is None else folder.check),
            backend=spec.engine.backend if choice is None else choice,
            device=spec.engine.device,
            augment=spec.data.augment,
            workers=spec.engine.workers,
            block=spec.engine.block,
            precision=spec.engine.precision,
        )
        self.attacked = Attacked(setup, self.trainer) if spec.attack else None
        self.held: Clients = setup.federation if self.attacked is None else self.attacked.declared
        self.protection: Protection | None = None
        if spec.privacy.on:
            from disue.runs.protect import Simulated as Protection  # needs a package that plain runs do without

            self.protection = Protection(setup, self.trainer if self.attacked is None else self.attacked, self.held)

    def begin(self, round: int) -> None:
        if self.attacked is not None:
            self.attacked.begin(round)
        if self.protection is not None:
            self.protection.begin(round)

    def answer(self, orders: Orders, round: int) -> Exchanged:
        cohort, world = self.setup.spec.cohort, self.setup.world
        ids = answering(
            world.streams,
            round,
            orders.ids,
            self.sizes(orders.ids),
            dropout=cohort.dropout,
            deadline=cohort.deadline,
            speed_sigma=cohort.speed_sigma,
        )
        plain = self.trainer.answer(world, orders, ids)
        sketched: Mapping[int, Vector] = {}
        if self.attacked is not None:
            plain = self.attacked.over(orders, plain)
            sketched = self.attacked.sketched
        return plain if self.protection is None else self.protection.over(orders, plain, sketched)

    def engine(self) -> Mapping[str, Any] | None:
        return None if self.trainer.choice is None else as_table(self.trainer.choice)

    def sizes(self, ids: IntVector) -> IntVector:
        return self.setup.federation.sizes_of(ids)

    def stand(self, lots: Lots) -> int:
        if self.protection is not None:
            self.protection.stand(lots)
            return 0  # the protocol counts its own bytes
        classes = self.setup.world.layout.classes
        self.trainer.statics = Statics.counted(lots, self.held, classes, least(self.setup.method))
        return 2 * COUNT * classes * lots.ids.size  # who holds a class, then how much of it

    def evaluate(self, state: Any, info: Info, ends: Mapping[int, Array], round: int) -> Evaluation:
        setup, world = self.setup, self.setup.world
        ids = world.census.ordered
        served = setup.method.serve(world, state, ids)
        found = evaluate(
            world.network,
            served,
            ids,
            setup.federation,
            ends,
            personal_models(self.trainer, setup, state, hundred(ids, world.streams)),
            teachers=taught(info.arrays),
            on=setup.spec.evaluate.on,  # type: ignore[arg-type]
            streams=world.streams,
            receiving=self.attacked is not None,
        )
        if self.attacked is None:
            return found
        return self.attacked.scored(found, served, setup.method.standing(state))

    def late(self, state: Any, round: int) -> dict[str, float]:
        return newcomers.late(self.trainer, self.setup, state, round) if self.setup.late.size else {}

    def ended(self, row: Row, folder: Folder | None) -> tuple[str, ...]:
        return () if self.protection is None else self.protection.ended(row, folder)

    def said(self) -> list[str]:
        return [] if self.protection is None else self.protection.said()

    def save(self, path: Path, round: int) -> None:
        self.trainer.memory.save(path / "memory", round)

    def drop(self, path: Path, keep: Sequence[int]) -> None:
        self.trainer.memory.drop(path / "memory", keep=keep)

    def plain(self) -> dict[str, Any]:
        return {} if self.protection is None else {"privacy": self.protection.plain()}

    def restore(self, path: Path, round: int, meta: Mapping[str, Any], lots: Lots | None) -> None:
        if round >= 0:
            self.trainer.memory.load(path / "memory", round)
        if self.protection is not None:
            self.protection.restore(meta.get("privacy", {}), lots, path.parent)

    def close(self) -> None:
        """Ends the engine's workers."""
        self.trainer.close()


class SimulatedRun(Federate):
    """A run whose clients are here."""

    side: Simulated

    def __init__(self, setup: Simulation, folder: Folder | None = None, choice: Choice | None = None) -> None:
        super().__init__(setup, folder, Simulated(setup, folder, choice))
