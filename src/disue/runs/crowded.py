"""All clients of a protected simulation in this process, as the field that the server's session talks to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from disue.core.checks import Array, IntVector, Vector, digest
from disue.core.clients import Clients as Holding
from disue.core.orders import SQUARE, Orders
from disue.engine.answers import Answer
from disue.runs.bring import Bring, Counted, Measured, Measures, Trained, policy, received
from disue.runs.privacy import Privacy
from disue.runs.simulation import Simulation
from disue.secure.client.crowd import Crowd
from disue.secure.client.local import Memory
from disue.secure.client.party import Party
from disue.secure.wire.hashes import vector_hash
from disue.secure.wire.roster import Roster
from disue.secure.wire.tasks import Count, Measure, Task, Train


class Clients:
    """All clients of a run in this process: their identities, what each remembers of the protocol, and their answers.

    held      their data, as they declare it
    answers   id → what the engine made of the orders that are being answered
    sketched  id → the end whose update it has sketched, of those who sum another
    crowds    the exchanges of the round that is being played
    """

    def __init__(self, setup: Simulation, engine: Measures, held: Holding) -> None:
        self.world, self.engine, self.held = setup.world, engine, held
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
        self.sketched: Mapping[int, Vector] = {}
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

    def _party(self, client: int, task: Task, bring: Bring, number: int) -> Party:
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
            received=lambda opened: received(self.world.layout, client, task, self._hash),
            memory=self.memories.get(client),
            remember=remember,
        )

    def _hash(self, vector: Array) -> bytes:
        name = digest(vector)
        if name not in self._hashes:
            self._hashes[name] = vector_hash(vector)
        return self._hashes[name]

    def _bring(self, task: Task, here: list[int]) -> Bring:
        if isinstance(task, Train):
            return Trained(self.world.layout, task.orders, self.answers, self.sketched)
        if isinstance(task, Count):
            return Counted({i: self.held.label_counts(i) for i in here})
        return Measured(self.world, self.engine, task, here, {i: self.held.label_counts(i) for i in here})

    # -- for the run's record and its checkpoint ------------------------------------------------------------

    def begin(self) -> None:
        self.crowds, self.models_down = [], 0

    def seconds(self) -> dict[str, dict[int, float]]:
        """phase → roster index → process seconds, of this round."""
        out: dict[str, dict[int, float]] = {}
        for crowd in self.crowds:
            for phase, seconds in crowd.seconds.items():
                of = out.setdefault(phase, {})
                for index, spent in seconds.items():
                    of[index] = of.get(index, 0.0) + spent
        return out

    def plain(self) -> dict[str, Any]:
        """What clients remember of the protocol."""
        return {str(i): memory.plain() for i, memory in sorted(self.memories.items())}

    def restore(self, plain: Mapping[str, Any]) -> None:
        self.memories = {int(client): Memory.read(memory) for client, memory in plain.items()}
