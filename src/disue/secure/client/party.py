"""A client as the wire sees it: bytes in, bytes out, its inputs asked for when they are needed."""

from __future__ import annotations

import os
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from disue.secure.client import machine
from disue.secure.client.local import Inputs, Memory, Own, Policy, Random, Received
from disue.secure.client.state import Aborted, Closed, Deadline, Ready
from disue.secure.wire.opening import Open
from disue.secure.wire.roster import Roster


class Party:
    """The machine with its surroundings.

    inputs    asked once a round, when the first message needs them
    received  hashes of the models that came for a round, for the checks of its opening
    remember  stores the memory before an answer leaves
    """

    def __init__(
        self,
        identity: Ed25519PrivateKey,
        roster: Roster,
        policy: Policy,
        random: Random = os.urandom,
        inputs: Callable[[Open], Inputs] = lambda opened: Inputs(),
        *,
        received: Callable[[Open], Received],
        memory: Memory | None = None,
        remember: Callable[[Memory], None] = lambda memory: None,
    ) -> None:
        self.inputs, self.remember = inputs, remember
        self.state = machine.start(Own(identity, policy, random, received), roster, memory)
        self.events: list[Aborted | Closed] = []

    @property
    def memory(self) -> Memory:
        return self.state.memory

    def receive(self, message: bytes) -> list[bytes]:
        """The answers to a message."""
        current = self.state.round
        if current is not None and machine.wants(self.state, message):
            self._step(Ready(self.inputs(current.opened)))
        return self._step(message)

    def give_up(self, stage: str) -> None:
        """The deadline of the client: it erases what it holds of a round."""
        self._step(Deadline(stage))

    def _step(self, given: bytes | Ready | Deadline) -> list[bytes]:
        before = self.state.memory
        self.state, answers, event = machine.step(self.state, given)
        if self.state.memory != before:
            self.remember(self.state.memory)
        if event is not None:
            self.events.append(event)
        return answers
