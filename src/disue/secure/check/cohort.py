"""A cohort that runs the real machines in memory, for attacks by a server that listens or lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from disue.core.checks import Float64, IntMatrix
from disue.core.streams import Streams
from disue.secure.client.crowd import Crowd
from disue.secure.client.local import Inputs, Policy, Received
from disue.secure.client.party import Party
from disue.secure.server.exchange import Exchange, Kept
from disue.secure.wire.hashes import H
from disue.secure.wire.opening import CONTRIBUTORS, FRESH, LABELS, NONE, SKETCH, UPDATE, WEIGHT, Open, Section
from disue.secure.wire.ring import Ring, encode
from disue.secure.wire.roster import Roster

LAYOUT, MODEL, OTHER = H("layout"), H("reference", b"the model"), H("reference", b"another model")
CLASSES = 5
BOUND, WEIGHTS = 8.0, 1024.0


def _received(reference: Callable[[int, Open], bytes], index: int, opened: Open) -> Received:
    return Received(LAYOUT, reference(index, opened), ())


class Cohort:
    """n clients with updates (n, d), weights and label counts.

    reference  which model a client has received, by its roster index; a client that does not look says what the
               opening says
    """

    def __init__(
        self,
        streams: Streams,
        n: int,
        d: int,
        policy: Policy = Policy(),
        reference: Callable[[int, Open], bytes] = lambda index, opened: MODEL,
        counts: IntMatrix | None = None,
    ) -> None:
        self.n, self.d = n, d
        rng = streams("cohort", n, d)
        self.updates = rng.normal(size=(n, d)).astype(np.float32)
        self.weights: Float64 = rng.integers(50, 600, n).astype(np.float64)
        self.counts = rng.integers(0, 40, (n, CLASSES)).astype(np.int64) if counts is None else counts
        identities = [Ed25519PrivateKey.from_private_bytes(rng.bytes(32)) for _ in range(n)]
        names = [b"client %09d" % index for index in range(n)]
        public = [identity.public_key().public_bytes_raw() for identity in identities]
        self.roster = Roster.of(dict(zip(names, public, strict=True)))
        self.parties = {
            index: Party(
                identities[index],
                self.roster,
                replace(policy, lots=False),  # attacks on fresh sums of what should be static are among the controls
                streams("party", n, index).bytes,
                partial(self.inputs, index),
                received=partial(_received, reference, index),
            )
            for index in range(n)
        }
        self.heard = Kept()

    def opening(self, **changes: object) -> Open:
        """One pass of weight, update and label counts, without sketches unless they are asked for."""
        opened = Open(
            self.roster.hash, LAYOUT, MODEL, NONE, tuple((index, 0xFFFFFFFE) for index in range(self.n)),
            (
                Section(WEIGHT, FRESH, 1, 0, WEIGHTS),
                Section(UPDATE, FRESH, self.d, 32, BOUND),
                Section(LABELS, FRESH, self.counts.shape[1], 0, WEIGHTS),
            ),
        )  # fmt: skip
        return replace(opened, **changes)  # type: ignore[arg-type]

    def sketched(self, k: int = 64, m: int = 1024) -> Open:
        return self.opening(similarity=SKETCH, k=k, m=m, slices=((0, self.d),))

    def in_two_passes(self) -> Open:
        return self.opening(
            passes=2, sections=(*self.opening().sections, Section(CONTRIBUTORS, FRESH, self.counts.shape[1], 0, 1.0))
        )

    def inputs(self, index: int, opened: Open) -> Inputs:
        first = (self.weights[index : index + 1], self.weights[index] * self.updates[index].astype(np.float64))
        counts = self.counts[index].astype(np.float64)
        if opened.passes == 2:
            return Inputs((), (*first, (counts > 0).astype(np.float64)), lambda _: (counts,))
        return Inputs((self.updates[index],) * len(opened.slices), (*first, counts))

    def vector(self, index: int, opened: Open) -> Ring:
        """(L,) what a client masks in the first pass."""
        sections = self.inputs(index, opened).sections
        assert not callable(sections)
        encoded = (
            encode(np.asarray(values, np.float64), section.bits, opened.limit(section), section.name)
            for section, values in zip(opened.part(0), sections, strict=True)
        )
        return np.concatenate(list(encoded))

    def exchange(self, opened: Open, wire: Crowd | Tap | None = None) -> Exchange:
        return Exchange(self.roster, opened, wire or self.crowd(), number=1, transcript=self.heard)

    def crowd(self, **dropouts: Iterable[int]) -> Crowd:
        return Crowd(self.parties, {stage: set(who) for stage, who in dropouts.items()})


class Tap:
    """A wire that a lying server sits on.

    lie   a message for somebody → what is sent in its place, None for nothing
    hold  whether an answer is kept from the server's machine; it goes to `held`
    """

    def __init__(
        self,
        wire: Crowd,
        lie: Callable[[int, bytes], bytes | None] = lambda index, message: message,
        hold: Callable[[int, bytes], bool] = lambda index, message: False,
    ) -> None:
        self.wire, self.lie, self.hold = wire, lie, hold
        self.held: list[tuple[int, bytes]] = []

    def send(self, messages: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        told = ((index, self.lie(index, message)) for index, message in messages)
        answers = list(self.wire.send([(index, message) for index, message in told if message is not None]))
        self.held += [answer for answer in answers if self.hold(*answer)]
        return [answer for answer in answers if not self.hold(*answer)]
