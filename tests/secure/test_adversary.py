"""Clients and a server on a network that drops, repeats, reorders, replays, misdelivers, changes and forges messages.

Whatever it does: a sum that comes out is the right one, nobody hears both secrets of a vector, nothing is unmasked
below the floor, counters rise, and whoever is out of a round has no key of it left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from secure_bed import Federation, changed, read, stream

from disue.secure.client import machine as client
from disue.secure.client import summing
from disue.secure.client.local import Own, Policy
from disue.secure.client.state import Aborted, Closed, Part, State
from disue.secure.server import machine
from disue.secure.server.state import DONE, Deadline, Failed, Group, Summed, Trained, opening
from disue.secure.wire.codec import encode
from disue.secure.wire.header import SERVER, Header
from disue.secure.wire.messages import SELF_SEED, Alive, AliveProof, AliveSig, Keys, Unmask
from disue.secure.wire.names import REFUSALS
from disue.secure.wire.opening import SKETCH

FLOOR = 3
ROUNDS = ["sums", "sketches", "two passes"]
DISTURBANCES = ["reorder", "drop", "repeat", "replay", "misdeliver", "change", "forge"]


def bytes_in(value: object) -> Iterator[bytes]:
    """Every bytes object that a state holds, but for what it is told to draw from."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, Own):
        return
    elif is_dataclass(value):
        for one in fields(value):
            yield from bytes_in(getattr(value, one.name))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from bytes_in(key)
            yield from bytes_in(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from bytes_in(inner)


class Network(RuleBasedStateMachine):
    """pending  what is on its way: (SERVER or roster index it goes to, message); history  all that ever was"""

    @initialize(n=st.integers(3, 8), kind=st.sampled_from(ROUNDS))
    def begin(self, n: int, kind: str) -> None:
        self.fed = Federation(n, Policy(lots=False))
        self.drawn: dict[int, list[bytes]] = {index: [] for index in range(n)}
        for index in range(n):
            self.fed.parties[index] = self.fed.party(index, random=self.watched(index))
        self.number = 0
        self.pending: list[tuple[int, bytes]] = []
        self.history: list[tuple[int, bytes]] = []
        self.told: dict[tuple[bytes, int], set[int]] = defaultdict(set)  # (context, member) → kinds, of all holders
        self.alive: dict[int, tuple[int, ...]] = {}  # sum → who was in its first pass
        self.counter = dict.fromkeys(range(n), (-1, -1))
        self.start(kind)

    def watched(self, index: int):
        source = stream("adversary", index)

        def draw(count: int) -> bytes:
            found = source(count)
            self.drawn[index].append(found)
            return found

        return draw

    def start(self, kind: str) -> None:
        self.number += 1
        sketched = {"similarity": SKETCH, "k": 8, "m": 8, "slices": ((0, 7),)} if kind == "sketches" else {}
        opened = self.fed.two_passes() if kind == "two passes" else self.fed.open(**sketched)
        self.round = opening(self.fed.roster, self.number, 0, opened)
        self.emit(machine.begin(self.round))

    def emit(self, messages: list[tuple[int, bytes]]) -> None:
        self.pending += messages
        self.history += messages

    def deliver(self, to: int, message: bytes) -> list[bytes]:
        if to == SERVER:
            self.serve(message)
            return []
        party = self.fed.parties[to]
        before = party.state.round
        answers = party.receive(message)
        for answer in answers:
            self.check(to, answer)
        self.emit([(SERVER, answer) for answer in answers])
        if party.state.round is None:
            self.forgotten(to, party.state)
            if before is not None:
                assert isinstance(party.events[-1], Aborted | Closed)
                assert isinstance(party.events[-1], Closed) or type(party.events[-1].refusal) in REFUSALS
            self.drawn[to].clear()
        return answers

    def forgotten(self, index: int, state: State) -> None:
        """Nothing that was drawn for the round is in the state, nor are its shares or seeds."""
        held = set(bytes_in(state))
        assert not held & {one for one in self.drawn[index] if len(one) >= 16}
        assert all(len(one) != 33 for one in held)

    def check(self, holder: int, answer: bytes) -> None:
        message = read(answer)
        body, header = message.body, message.header
        if isinstance(body, Keys):
            now = (header.round, header.attempt)
            again = self.counter[holder] == now and (SERVER, answer) in self.history  # a repeat, byte for byte
            assert again or now > self.counter[holder]
            self.counter[holder] = now
        if isinstance(body, Unmask):
            alive = [member for member, kind, _ in body.shares if kind == SELF_SEED]
            assert len(alive) >= FLOOR
            for member, kind, _ in body.shares:
                self.told[header.context, member].add(kind)
                assert len(self.told[header.context, member]) == 1

    def serve(self, given: object) -> None:
        self.round, out, events = machine.step(self.round, given)  # type: ignore[arg-type]
        self.emit(out)
        for event in events:
            if isinstance(event, Summed):
                assert len(event.alive) >= FLOOR
                self.right(event)
            elif isinstance(event, Failed):
                assert type(event.refusal) in REFUSALS

    def right(self, event: Summed) -> None:
        """Exactly, where whole numbers are summed; to half a step for each who is in it, where others are."""
        alive = list(event.alive)
        if event.pass_ == 1:
            counts = self.fed.counts[alive]
            seen = (self.fed.counts[list(self.alive[event.sum])] > 0).sum(axis=0)
            assert event.total.tolist() == (counts.sum(axis=0) * (seen >= self.round.opened.min_class)).tolist()
            return
        self.alive[event.sum] = event.alive
        expected = self.fed.expected(alive)
        update = event.total[2:9].view(np.int64) / 2.0**32
        assert event.total[:2].tolist() == expected[:2].tolist()
        np.testing.assert_allclose(update, expected[2:], rtol=0, atol=len(alive) * 2**-33)
        if self.round.opened.passes == 2:
            assert event.total[9:].tolist() == (self.fed.counts[alive] > 0).sum(axis=0).tolist()

    def picked(self, data: st.DataObject, among: list[tuple[int, bytes]]) -> int:
        return data.draw(st.integers(0, len(among) - 1))

    @precondition(lambda self: self.pending)
    @rule(count=st.integers(1, 120))
    def calm(self, count: int) -> None:
        """Messages arrive in order."""
        for _ in range(min(count, len(self.pending))):
            self.deliver(*self.pending.pop(0))

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), how=st.sampled_from(DISTURBANCES))
    def disturb(self, data: st.DataObject, how: str) -> None:
        getattr(self, how)(data)

    def reorder(self, data: st.DataObject) -> None:
        self.deliver(*self.pending.pop(self.picked(data, self.pending)))

    def drop(self, data: st.DataObject) -> None:
        self.pending.pop(self.picked(data, self.pending))

    def repeat(self, data: st.DataObject) -> None:
        to, message = self.pending[self.picked(data, self.pending)]
        self.deliver(to, message)

    def replay(self, data: st.DataObject) -> None:
        """Anything that was ever sent, again."""
        self.deliver(*self.history[self.picked(data, self.history)])

    def misdeliver(self, data: st.DataObject) -> None:
        """To a client what is for another, or for the server; to the server what is for a client."""
        to, message = self.pending[self.picked(data, self.pending)]
        others = [index for index in (*self.fed.parties, SERVER) if index != to]
        self.deliver(data.draw(st.sampled_from(others)), message)

    def change(self, data: st.DataObject) -> None:
        to, message = self.pending.pop(self.picked(data, self.pending))
        at = data.draw(st.integers(0, len(message) - 1))
        self.deliver(to, message[:at] + bytes([message[at] ^ data.draw(st.integers(1, 255))]) + message[at + 1 :])

    def forge(self, data: st.DataObject) -> None:
        """A lie of the server to one of the clients: fewer keys, other groups, fewer members or signatures."""
        forged = {4: "messages", 9: "groups", 11: "present", 13: "members", 15: "messages", 17: "counts"}
        known = [at for at, (_, message) in enumerate(self.pending) if message[5] in forged]
        if not known:
            return
        to, message = self.pending.pop(data.draw(st.sampled_from(known)))
        body, field = read(message).body, forged[message[5]]
        old = getattr(body, field)
        if field == "groups":
            members = sorted(index for _, found in old for index in found)
            new = ((1, tuple(members[: data.draw(st.integers(1, len(members)))])),)
        elif field == "counts":
            new = tuple(data.draw(st.integers(0, 9)) for _ in old)
        else:
            keep = data.draw(st.lists(st.booleans(), min_size=len(old), max_size=len(old)))
            new = tuple(one for one, kept in zip(old, keep, strict=True) if kept)
        lie = {field: new}
        if field == "present":
            lie["boxes"] = tuple(box for box in body.boxes if box.peer in new)
        self.deliver(to, changed(message, **lie))

    def parts(self, sum_: int, stage: str) -> dict[int, Part]:
        """Clients whose part in a sum is at a stage."""
        rounds = {index: party.state.round for index, party in self.fed.parties.items()}
        found = {index: one.parts[sum_] for index, one in rounds.items() if one is not None and sum_ in one.parts}
        return {index: part for index, part in found.items() if part.stage == stage}

    @precondition(lambda self: any(self.parts(sum_, "MASKED") for sum_ in (0, 1)))
    @rule(data=st.data())
    def attack(self, data: st.DataObject) -> None:
        """The server itself lies: it shows one or two alive sets of its choice, and all signatures that it gets."""
        sum_ = data.draw(st.sampled_from([sum_ for sum_ in (0, 1) if self.parts(sum_, "MASKED")]))
        there = self.parts(sum_, "MASKED")
        present = sorted({index for part in there.values() for index in part.present})
        lost = data.draw(st.lists(st.sets(st.sampled_from(present), max_size=3), min_size=1, max_size=2))
        sets = [tuple(index for index in present if index not in left_out) for left_out in lost]
        self.lie(sum_, {i: data.draw(st.sampled_from([one for one in sets if i in one] or sets)) for i in there})

    def lie(self, sum_: int, shown: dict[int, tuple[int, ...]]) -> None:
        """Alive sets to clients, then all signatures that they gave to all of them."""
        there = self.parts(sum_, "MASKED")
        signed = []
        for index, members in shown.items():
            answers = self.deliver(index, self.said(index, there[index], Alive(members)))
            signed += [answer for answer in answers if answer[5] == AliveSig.TYPE]
        proof = AliveProof(tuple(sorted(signed, key=lambda raw: raw[20:24])))
        for index, part in self.parts(sum_, "ALIVE").items():
            self.deliver(index, self.said(index, part, proof))

    def said(self, index: int, part: Part, body: Alive | AliveProof) -> bytes:
        """As the server would, in the context in which a client is."""
        where = self.fed.parties[index].state.round
        context = part.context[part.pass_]
        return encode(Header(body.TYPE, where.number, where.attempt, SERVER, context, part.sum, part.pass_), body)

    @rule()
    def time_passes(self) -> None:
        """Deadlines of all stages; the driver goes on where it is the driver's turn."""
        self.serve(Deadline(self.round.stage))
        for at, one in list(self.round.sums.items()):
            self.serve(Deadline(one.stage, at))

    @precondition(lambda self: self.round.stage == "TRAINING")
    @rule()
    def trained(self) -> None:
        self.serve(Trained())

    @precondition(lambda self: self.round.stage == "GROUPING" and len(self.round.keys) >= FLOOR)
    @rule(two=st.booleans())
    def group(self, two: bool) -> None:
        there = sorted(self.round.keys)
        half = len(there) // 2
        whole = {7: tuple(there)}
        self.serve(Group({2: tuple(there[:half]), 5: tuple(there[half:])} if two and half >= FLOOR else whole))

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from(sorted(self.fed.parties)))
        self.fed.parties[index].give_up("any")
        self.forgotten(index, self.fed.parties[index].state)

    @precondition(lambda self: self.round.stage == DONE or not self.pending)
    @rule(kind=st.sampled_from(ROUNDS))
    def next_round(self, kind: str) -> None:
        self.pending.clear()
        self.start(kind)

    @precondition(lambda self: self.pending)
    @rule()
    def to_the_end(self) -> None:
        """What is left of the round, undisturbed."""
        for _ in range(12):
            self.calm(10**6)
            if self.pending:
                continue
            if self.round.stage == "TRAINING":
                self.trained()
            elif self.round.stage == "GROUPING" and len(self.round.keys) >= FLOOR:
                self.group(True)
            elif self.round.stage != DONE:
                self.time_passes()


TestNetwork = Network.TestCase
TestNetwork.settings = settings(
    max_examples=40, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)


def unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holders who unmask without looking at the signatures of the others."""
    monkeypatch.setattr(summing, "_proof", lambda state, current, part, body: summing._unmask(state, current, part))


def floorless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holders who unmask however few are alive."""
    monkeypatch.setattr(summing, "_enough", lambda opened, part, found, pass_: None)


def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients who answer a round twice."""
    honest = client._open
    monkeypatch.setattr(
        client, "_open", lambda state, *said: honest(replace(state, memory=replace(state.memory, round=-1)), *said)
    )


def masked() -> Network:
    """Six clients whose vectors are on their way."""
    network = Network()
    network.begin(6, "sums")
    while not network.parts(0, "MASKED"):
        network.calm(6)
        if network.round.stage == "GROUPING":
            network.group(False)
    network.calm(len(network.pending) - 6)
    assert len(network.parts(0, "MASKED")) == 6
    return network


HALVES = {index: (0, 1, 2, 3, 4) if index in (0, 1, 4) else (0, 1, 2, 3, 5) for index in range(6)}
PAIR = dict.fromkeys((0, 1), (0, 1))


def test_halves_and_pairs_are_refused() -> None:
    for shown in (HALVES, PAIR):
        network = masked()
        network.lie(0, shown)
        assert not network.told
        assert all(type(network.fed.parties[index].events[-1]) is Aborted for index in shown)


@pytest.mark.parametrize(("flaw", "shown"), [(unproven, HALVES), (floorless, PAIR)])
def test_flaws_in_holders_are_found(monkeypatch: pytest.MonkeyPatch, flaw, shown) -> None:
    """What the machine above asserts does fail, where a check is missing."""
    unproven(monkeypatch)
    flaw(monkeypatch)
    network = masked()
    with pytest.raises(AssertionError):
        network.lie(0, shown)


def test_a_second_answer_to_a_round_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    forgetful(monkeypatch)
    network = masked()
    with pytest.raises(AssertionError):
        network.deliver(0, changed(network.history[0][1], min_group=4))
