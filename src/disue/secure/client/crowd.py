"""Many clients in one process, as a wire: what a simulation and the tests talk to."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from disue.secure.client.party import Party
from disue.secure.wire.messages import phase_of

# The stage at which a client who drops does not answer a type.
STAGES = {2: "keys", 4: "seed", 6: "sketch", 9: "shares", 11: "masked", 13: "alive", 15: "unmask", 17: "second"}


class Crowd:
    """Parties by roster index. Answers are made one by one, as they are taken: no two uploads need be held at once.

    dropouts  stage ("keys", "seed", "sketch", "shares", "masked", "alive", "unmask", "second") → who stops answering
              there, for the rest of the round
    seconds   per phase of what was answered, or else of the message, per client: process seconds
    """

    def __init__(self, parties: Mapping[int, Party], dropouts: Mapping[str, Collection[int]] | None = None) -> None:
        self.parties = parties
        self.dropouts = {} if dropouts is None else dropouts
        self.away: set[int] = set()
        self.seconds: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))

    def send(self, messages: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        for index, message in messages:
            type_ = message[5]
            if index in self.dropouts.get(STAGES.get(type_, ""), ()):
                self.away.add(index)
            if index in self.away or index not in self.parties:
                continue
            started = time.process_time()
            answers = self.parties[index].receive(message)
            phase = phase_of(answers[0] if answers else message)
            self.seconds[phase][index] += time.process_time() - started
            for answer in answers:
                yield index, answer
