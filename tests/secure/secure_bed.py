"""A small federation for tests of the protocol: keys from fixed bytes, parties with known inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from disue.secure.client import machine
from disue.secure.client.crowd import Crowd
from disue.secure.client.local import Inputs, Policy, Received
from disue.secure.client.party import Party
from disue.secure.client.state import Ready
from disue.secure.server.exchange import Exchange, Kept, Wire
from disue.secure.wire.codec import Message, decode, encode
from disue.secure.wire.hashes import H, vector_hash
from disue.secure.wire.names import Refusal
from disue.secure.wire.opening import CONTRIBUTORS, FRESH, LABELS, MEMBERS, NONE, SKETCH, UPDATE, WEIGHT, Open, Section
from disue.secure.wire.roster import Roster

LAYOUT = H("layout", b"test")
START = np.linspace(-1, 1, 7, dtype=np.float32)
REFERENCE = np.linspace(1, 2, 7, dtype=np.float32)
SECTIONS = (
    Section(WEIGHT, FRESH, 1, 0, 1024.0),
    Section(MEMBERS, FRESH, 1, 0, 1.0),
    Section(UPDATE, FRESH, 7, 32, 8.0),
)


def stream(*label: object) -> Callable[[int], bytes]:
    """Fixed bytes, as long as they are asked for: never the same ones twice."""
    drawn = 0

    def draw(count: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.shake_256(repr((label, drawn)).encode()).digest(count)

    return draw


def identity(index: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"identity %d" % index).digest())


def name(index: int) -> bytes:
    return b"client %09d" % index


@dataclass
class Federation:
    """n clients with weights and updates that are different for each; indices are roster indices."""

    n: int
    policy: Policy = Policy()
    seed: int = 0

    def __post_init__(self) -> None:
        self.keys = [identity(index) for index in range(self.n)]
        public = {name(index): key.public_key().public_bytes_raw() for index, key in enumerate(self.keys)}
        self.roster = Roster.of(public)
        rng = np.random.default_rng(self.seed)
        self.weights = rng.integers(1, 900, self.n).astype(np.float64)
        base = rng.normal(size=(2, 7))
        self.updates = (base[np.arange(self.n) % 2] + 0.3 * rng.normal(size=(self.n, 7))).astype(np.float32)
        self.counts = rng.integers(0, 4, (self.n, 5)).astype(np.float64)
        self.parties = {index: self.party(index) for index in range(self.n)}

    def party(self, index: int, **changes: object) -> Party:
        values = {
            "identity": self.keys[index],
            "roster": self.roster,
            "policy": self.policy,
            "random": stream(self.seed, index),
            "inputs": lambda opened: self.inputs(index, opened.passes),
            "received": self.received,
        } | changes
        return Party(**values)  # type: ignore[arg-type]

    def received(self, opened: Open) -> Received:
        return Received(LAYOUT, vector_hash(REFERENCE), (vector_hash(START),))

    def inputs(self, index: int, passes: int = 1) -> Inputs:
        weight = self.weights[index]
        sections = (np.array([weight]), np.ones(1), weight * self.updates[index].astype(np.float64))
        if passes == 1:
            return Inputs((self.updates[index],), sections)
        counts = self.counts[index]
        return Inputs((self.updates[index],), (*sections, (counts > 0).astype(np.float64)), lambda seen: (counts,))

    def open(self, similarity: int = NONE, **changes: object) -> Open:
        sketched = {"k": 256, "m": 1024, "slices": ((0, 7),)} if similarity == SKETCH else {}
        opened = Open(
            roster=self.roster.hash,
            layout=LAYOUT,
            reference=vector_hash(REFERENCE),
            similarity=similarity,
            cohort=tuple((index, 0) for index in range(self.n)),
            sections=SECTIONS,
            starts=(vector_hash(START),),
        )
        return replace(opened, **(sketched | changes))  # type: ignore[arg-type]

    def two_passes(self, **changes: object) -> Open:
        """The same and class counts, which wait for the contributors per class."""
        sections = (*SECTIONS, Section(CONTRIBUTORS, FRESH, 5, 0, 1.0), Section(LABELS, FRESH, 5, 0, 100.0))
        return self.open(sections=sections, passes=2, **changes)

    def exchange(
        self,
        opened: Open,
        number: int = 1,
        dropouts: Mapping[str, Collection[int]] | None = None,
        wire: Wire | None = None,
    ) -> Exchange:
        self.kept = Kept()
        self.crowd = Crowd(self.parties, dropouts)
        return Exchange(self.roster, opened, wire or self.crowd, number=number, transcript=self.kept)

    def expected(self, alive: Collection[int]) -> np.ndarray:
        """(9,) what the sum over these clients is, in float64."""
        rows = [np.concatenate(list(self.inputs(index).sections)) for index in alive]  # type: ignore[union-attr]
        return np.sum(rows, axis=0)


def read(raw: bytes) -> Message:
    """A message of any size that a test has."""
    return decode(raw, limit=2**24, masked=2**24)


def changed(raw: bytes, key: Ed25519PrivateKey | None = None, header: dict | None = None, **body: object) -> bytes:
    """A message with some fields of its header and body changed, and signed anew."""
    message = read(raw)
    return encode(replace(message.header, **(header or {})), replace(message.body, **body), key)  # type: ignore[type-var]


class Meddler:
    """A wire between the exchange and a crowd that changes, adds or drops messages.

    down, up  (roster index, message) → what is delivered in its place
    """

    def __init__(
        self,
        crowd: Crowd,
        down: Callable[[int, bytes], Sequence[bytes]] | None = None,
        up: Callable[[int, bytes], Sequence[bytes]] | None = None,
    ) -> None:
        self.crowd = crowd
        self.down = down or (lambda index, message: [message])
        self.up = up or (lambda index, message: [message])

    def send(self, messages: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        for index, message in messages:
            for delivered in self.down(index, message):
                for _, answer in list(self.crowd.send([(index, delivered)])):
                    for back in self.up(index, answer):
                        yield index, back


def a_round(fed: Federation, exchange: Exchange, groups: Mapping[int, Sequence[int]] | None = None) -> dict:
    """All of a round: its sums, or {} where the round as a whole was refused."""
    try:
        exchange.open()
    except Refusal:
        return {}
    if exchange.opened.similarity == SKETCH:
        exchange.sketches()
    there = set(exchange.round.keys)
    asked = {number: [i for i in members if i in there] for number, members in (groups or {0: sorted(there)}).items()}
    return exchange.sums(asked) if all(len(members) >= 3 for members in asked.values()) else {}


@dataclass(frozen=True, eq=False)
class Moment:
    """A message at the moment at which it was accepted: the state before it, of client 0 or of the server."""

    kind: int
    before: object
    message: bytes


def moments(fed: Federation, exchange: Exchange, groups: Mapping[int, Sequence[int]] | None = None) -> list[Moment]:
    """Every message that client 0 and the server took in during a round."""
    found: list[Moment] = []

    def down(index: int, message: bytes) -> list[bytes]:
        party = fed.parties[0]
        if index == 0:
            if machine.wants(party.state, message) and party.state.round is not None:
                party._step(Ready(party.inputs(party.state.round.opened)))
            found.append(Moment(message[5], party.state, message))
        return [message]

    def up(index: int, message: bytes) -> list[bytes]:
        found.append(Moment(message[5], exchange.round, message))
        return [message]

    exchange.wire = Meddler(fed.crowd, down, up)
    a_round(fed, exchange, groups)
    return found
