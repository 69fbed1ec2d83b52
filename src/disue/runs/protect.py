"""The protected protocol in a simulation: the clients' side of it beside the engine, and the server's session.

The engine's answers stay on the clients' side: the method is given a `SecureUploads`, which talks to clients by bytes.
What the run's record shows of single clients (their losses, their ends for evaluation) is the experimenter's view.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from disue.core.checks import Array, Float64, IntVector, digest
from disue.core.clients import Memory as Private
from disue.core.errors import UserError, unwritable
from disue.core.layout import WHOLE
from disue.core.lots import Lots
from disue.core.orders import SQUARE, Orders, common_of
from disue.core.statics import Statics
from disue.core.uploads import Uploads
from disue.core.world import World
from disue.engine.answers import Answer
from disue.engine.chores import Measuring
from disue.engine.engine import Engine
from disue.engine.measure import ClientMoments
from disue.engine.plain import PlainUploads
from disue.runs.folder import Row
from disue.runs.lots import least
from disue.runs.privacy import Privacy
from disue.runs.protected import warned
from disue.secure.client.crowd import Crowd
from disue.secure.client.local import Inputs, Memory, Policy, Received
from disue.secure.client.party import Party
from disue.secure.server import sections
from disue.secure.server.exchange import Cost, Kept
from disue.secure.server.session import Session, Terms
from disue.secure.server.uploads import SecureUploads, counted
from disue.secure.wire.hashes import vector_hash
from disue.secure.wire.opening import Open
from disue.secure.wire.roster import Roster
from disue.secure.wire.tasks import Count, Measure, Task, Train

if TYPE_CHECKING:
    from disue.runs.setup import Setup

TRANSCRIPT = "transcript.bin"
PHASES = (
    "keys",
    "seed",
    "sketch",
    "grouping",
    "shares",
    "masks",
    "unmask",
    "models",
)  # models: to measure moments under


class Clients:
    """All clients of a run in this process: their identities, what each remembers of the protocol, and their answers.

    answers  id → what the engine made of the orders that are being answered
    crowds   the exchanges of the round that is being played
    """

    def __init__(self, setup: Setup, engine: Engine) -> None:
        self.world, self.engine, self.federation = setup.world, engine, setup.federation
        self.privacy: Privacy = setup.spec.privacy
        self.ids = setup.world.census.ordered
        streams = self.world.streams
        self._identities = {
            i: Ed25519PrivateKey.from_private_bytes(streams("identity", i).bytes(32)) for i in self.ids.tolist()
        }
        names = {i.to_bytes(16, "big"): key.public_key().public_bytes_raw() for i, key in self._identities.items()}
        self.roster = Roster.of(names)
        self.memories: dict[int, Memory] = {}
        self.answers: dict[int, Answer] = {}
        self.crowds: list[Crowd] = []
        self.models_down = 0
        self._hashes: dict[str, bytes] = {}

    # -- the field, as the server's session knows it ------------------------------------------------------

    def wire(self, task: Task, ids: IntVector, number: int) -> Crowd:
        """Those of the clients who are there, as parties of an exchange."""
        here = [i for i in ids.tolist() if not isinstance(task, Train) or i in self.answers]
        if isinstance(task, Measure):
            self.models_down += len(here) * sum(v.nbytes for v in (task.under, task.against) if v is not None)
        bring = self._bring(task, here)
        parties = {int(np.searchsorted(self.ids, i)): self._party(i, task, bring, number) for i in here}
        lost = {
            stage: {index for index in parties if self.world.streams("lost", number, index, at).random() < share}
            for at, (stage, share) in enumerate(sorted(self.privacy.dropouts.items()))
        }
        crowd = Crowd(parties, lost)
        self.crowds.append(crowd)
        return crowd

    def extra_sizes(self, orders: Orders) -> dict[str, int]:
        names = [name for name in orders.report.extras if name != SQUARE]
        first = next(iter(self.answers.values()), None)
        return {name: 1 if first is None else int(np.size(first.extras[name])) for name in names}

    # -- a client -----------------------------------------------------------------------------------------

    def _party(self, client: int, task: Task, bring: _Bring, number: int) -> Party:
        streams, privacy = self.world.streams, self.privacy

        def random(count: int, rng: np.random.Generator = streams("secure", number, client)) -> bytes:
            return rng.bytes(count)

        def remember(memory: Memory) -> None:
            self.memories[client] = memory

        return Party(
            self._identities[client],
            self.roster,
            policy(privacy),
            random,
            lambda opened: bring.inputs(client, opened),
            received=lambda opened: self._received(client, task),
            memory=self.memories.get(client),
            remember=remember,
        )

    def _received(self, client: int, task: Task) -> Received:
        """Hashes of what came to a client outside the protocol."""
        layout = self.world.layout
        if isinstance(task, Train):
            orders = task.orders
            which = orders.which[int(np.searchsorted(orders.ids, client))]
            parts = sections.fingerprint(layout, orders.report.parts or (WHOLE,))
            starts = () if orders.own else tuple(self._hash(orders.starts[row]) for row in which.tolist())
            return Received(parts, self._hash(common_of(orders)), starts)
        zero = np.zeros(layout.d, np.float32)
        vector = self._hash(zero if isinstance(task, Count) else task.under)
        return Received(sections.fingerprint(layout), vector, (vector,))

    def _hash(self, vector: Array) -> bytes:
        name = digest(vector)
        if name not in self._hashes:
            self._hashes[name] = vector_hash(vector)
        return self._hashes[name]

    def _bring(self, task: Task, here: list[int]) -> _Bring:
        if isinstance(task, Train):
            return _Trained(self.world, task.orders, self.answers)
        if isinstance(task, Count):
            return _Counted({i: self.federation.label_counts(i) for i in here})
        return _Measured(self.world, self.engine, task, here, {i: self.federation.label_counts(i) for i in here})


class _Bring(Protocol):
    """What clients have to say in an exchange."""

    def inputs(self, client: int, opened: Open) -> Inputs: ...


class _Trained:
    def __init__(self, world: World, orders: Orders, answers: Mapping[int, Answer]) -> None:
        self.world, self.orders, self.answers = world, orders, answers
        self.common = common_of(orders)

    def inputs(self, client: int, opened: Open) -> Inputs:
        answer, report = self.answers[client], self.orders.report
        about = self.common if report.about == "common" else answer.start
        update = (answer.end - about) if opened.slices else np.zeros(0, np.float32)
        columns = [self.world.layout.mask(part) for part in report.parts or (WHOLE,)] if opened.slices else []
        weight = float(answer.size) if report.weights == "samples" else 1.0
        # about one vector that everybody knows: where sums are of plain ends, the server adds it again
        moved = weight * (answer.end.astype(np.float64) - self.common)
        values: list[Float64] = [np.array([weight]), np.array([1.0]), moved]
        values += [weight * np.asarray(answer.extras[name], np.float64).reshape(-1) for name in report.extras]
        chosen = int(np.argmax(answer.choice)) if report.choice != "none" else None
        return Inputs([np.ascontiguousarray(update[mask]) for mask in columns], values, choice=chosen)


class _Counted:
    def __init__(self, labels: Mapping[int, IntVector]) -> None:
        self.labels = labels

    def inputs(self, client: int, opened: Open) -> Inputs:
        own = self.labels[client].astype(np.float64)
        return Inputs(sections=[(own > 0).astype(np.float64)], second=lambda holders: [own])


class _Measured:
    """All of a lot measure at once, without the classes that too few of them hold."""

    def __init__(
        self, world: World, engine: Engine, task: Measure, here: list[int], labels: Mapping[int, IntVector]
    ) -> None:
        self.world, self.engine, self.task, self.here, self.labels = world, engine, task, here, labels
        self._found: dict[bytes, dict[int, ClientMoments]] = {}
        self.seconds: dict[int, float] = {}

    def of(self, client: int, held: IntVector) -> ClientMoments:
        key = held.tobytes()
        if key not in self._found:
            task, layout = self.task, self.world.layout
            under, without = dict.fromkeys(self.here, task.under), dict.fromkeys(self.here, held)
            asked = Measuring(self.world.network, layout.classes, under, task.against, task.per_class, without)
            self._found[key] = {}
            for who, moments, seconds in self.engine.measure(asked):
                self._found[key][who] = moments
                self.seconds[who] = self.seconds.get(who, 0.0) + seconds
        return self._found[key][client]

    def inputs(self, client: int, opened: Open) -> Inputs:
        holds = (self.labels[client] > 0).astype(np.float64)

        def second(holders: IntVector) -> list[Float64]:
            held = np.flatnonzero((holders > 0) & (holders < opened.min_class)).astype(np.int64)
            one = self.of(client, held)
            said = [one.counts.astype(np.float64), one.sums.reshape(-1), sections.packed(one.second)]
            if one.xx is not None and one.xy is not None:
                said += [sections.packed(one.xx), one.xy.reshape(-1)]
            return said

        return Inputs(sections=[holds], second=second)


def policy(privacy: Privacy) -> Policy:
    """The weakest round that a client of this run takes part in."""
    return Policy(
        min_group=privacy.min_group,
        min_cell=privacy.min_group if privacy.strict else 1,
        min_class=privacy.class_floor,
        min_lot=2 * privacy.min_group,
        consistency=privacy.consistency,
        epsilon=privacy.epsilon,
    )


def terms(privacy: Privacy) -> Terms:
    """What the server asks for."""
    return Terms(
        similarity=privacy.similarity,
        k=privacy.k,
        m=privacy.buckets,
        min_group=privacy.min_group,
        min_cell=privacy.min_group if privacy.strict else 1,
        min_class=privacy.class_floor,
        update_bound=privacy.update_bound,
        scale_bits=privacy.scale_bits,
        consistency=privacy.consistency,
        epsilon=privacy.epsilon,
    )


class ProtectedDoor(SecureUploads):
    """A `SecureUploads` with what the run's record needs of the simulation besides; see `engine.plain`."""

    def __init__(
        self, world: World, orders: Orders, session: Session, statics: Statics | None, plain: PlainUploads
    ) -> None:
        self._plain = plain
        super().__init__(world, orders, session, statics)

    dropped: Mapping[int, str] = property(lambda self: self._plain.dropped)  # type: ignore[assignment]
    notes: tuple[str, ...] = property(lambda self: self._plain.notes)  # type: ignore[assignment]
    memories: Mapping[int, Private] = property(lambda self: self._plain.memories)  # type: ignore[assignment]
    ends: Mapping[int, Array] = property(lambda self: self._plain.ends)  # type: ignore[assignment]
    losses: Mapping[int, float] = property(lambda self: self._plain.losses)  # type: ignore[assignment]
    bytes_down: int = property(lambda self: self._plain.bytes_down)  # type: ignore[assignment]
    client_seconds: float = property(lambda self: self._plain.client_seconds)  # type: ignore[assignment]
    bytes_up: int = 0  # updates, counts and moments go up within the protocol, which counts its own bytes


class Protection:
    """Both sides of a run's protocol."""

    def __init__(self, setup: Setup, engine: Engine) -> None:
        self.world, self.engine = setup.world, engine
        self.clients = Clients(setup, engine)
        self.transcript = Kept() if setup.spec.privacy.transcript else None
        self.session = Session(
            self.clients.roster, self.clients.ids, terms(setup.spec.privacy), self.world.layout, self.clients,
            self.transcript,
        )  # fmt: skip
        self.statics: Statics | None = None
        self._least = least(setup.method)
        self._size = 0  # of transcript.bin

    def begin(self, round: int) -> None:
        self.session.begin(round)
        self.clients.crowds, self.clients.models_down = [], 0
        self._count()

    def door(self, orders: Orders, plain: PlainUploads) -> Uploads:
        """What the method sees of these answers."""
        self.clients.answers = {answer.id: answer for answer in plain.answers}
        return ProtectedDoor(self.world, orders, self.session, self.statics, plain)

    def stand(self, lots: Lots) -> None:
        """These lots stand from here on. Counts their labels, unless they were counted before."""
        if self.statics is None:
            self.statics = Statics.unknown(lots, self.world.layout.classes)
            self._count()

    def _count(self) -> None:
        """Lots that broke are asked again in every round until they come whole."""
        if self.statics is not None and self.statics.broken.any():
            self.statics = counted(self.session, self.statics, self._least)

    def short(self, row: Row) -> tuple[str, ...]:
        """A sentence where the sketch is too short for what the grouping measured."""
        return warned(row, self.clients.ids.size, self.clients.privacy)

    def said(self) -> list[str]:
        """What the round's exchanges met."""
        return self.session.said()

    def costs(self, round: int) -> list[Row]:
        """The rows of privacy.csv for the round that was played: of clients the median and the most, in seconds."""
        self.session.end()
        client: dict[str, dict[int, float]] = {}
        for crowd in self.clients.crowds:
            for phase, seconds in crowd.seconds.items():
                of = client.setdefault(phase, {})
                for index, spent in seconds.items():
                    of[index] = of.get(index, 0.0) + spent
        server: dict[str, Cost] = {"models": Cost(down=self.clients.models_down)}
        for exchange in self.session.exchanges:
            for phase, cost in exchange.cost.items():
                total = server.setdefault(phase, Cost())
                total.seconds, total.up, total.down = (
                    total.seconds + cost.seconds, total.up + cost.up, total.down + cost.down,
                )  # fmt: skip
        out: list[Row] = []
        for phase in PHASES:
            took, there = list(client.get(phase, {}).values()), server.get(phase, Cost())
            if took or there.up or there.down:
                out.append(
                    {
                        "round": round,
                        "phase": phase,
                        "clients": len(took),
                        "seconds_client": float(np.median(took)) if took else 0.0,
                        "seconds_client_most": max(took, default=0.0),
                        "seconds_server": there.seconds,
                        "bytes_up": there.up,
                        "bytes_down": there.down,
                    }
                )
        return out

    def written(self, folder: Path) -> None:
        """Adds to transcript.bin what the server saw since the last time, and forgets it."""
        if self.transcript is None or not self.transcript.messages:
            return
        path = folder / TRANSCRIPT
        try:
            with path.open("ab") as file:
                file.write(self.transcript.pack())
        except OSError as error:
            with contextlib.suppress(OSError):  # what is half written is cut off again, where that is allowed
                os.truncate(path, self._size)
            raise unwritable(path, error) from error
        self._size = path.stat().st_size
        self.transcript.messages.clear()

    # -- for a checkpoint ---------------------------------------------------------------------------------

    def plain(self) -> dict[str, Any]:
        """What clients remember of the protocol, and what was released over lots."""
        memories = {
            str(i): [m.version, m.round, m.attempt, [lot.hex() for lot in m.lots], [list(c) for c in m.choices]]
            for i, m in sorted(self.clients.memories.items())
        }
        out: dict[str, Any] = {"memories": memories, "transcript": self._size}
        if self.statics is not None:
            for name in ("labels", "held", "broken"):
                out[name] = getattr(self.statics, name).astype(int).tolist()
        return out

    def restore(self, plain: Mapping[str, Any], lots: Lots | None, folder: Path) -> None:
        self._size = int(plain.get("transcript", 0))
        path = folder / TRANSCRIPT
        there = path.stat().st_size if path.exists() else 0
        if there < self._size:
            raise UserError(
                f"{path}: holds {there} bytes, and {self._size} were written by the round to go on from; a transcript "
                "with a gap shows nothing, so the run does not go on",
                key="privacy.transcript",
            )
        if path.exists():
            os.truncate(path, self._size)
        for client, (version, round, attempt, known, choices) in plain.get("memories", {}).items():
            self.clients.memories[int(client)] = Memory(
                version,
                round,
                attempt,
                tuple(bytes.fromhex(lot) for lot in known),
                tuple((int(a), float(e), int(t), int(r)) for a, e, t, r in choices),
            )
        if lots is not None:
            if "labels" not in plain:
                raise UserError("the checkpoint lacks the label counts of the lots", key="checkpoint")
            held, broken = (np.array(plain[name], bool) for name in ("held", "broken"))
            self.statics = Statics(lots, np.array(plain["labels"], np.int64), held, broken)
