"""What the server refuses from clients, and that a refused message changes nothing but its sender's part."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from secure_bed import REFERENCE, START, Federation, Meddler, a_round, changed, identity, read

from disue.secure.client.local import Received
from disue.secure.server import machine
from disue.secure.server.exchange import Exchange
from disue.secure.server.state import Deadline, Failed, Gone, Group, Refused, Trained, opening
from disue.secure.server.summing import secret_of
from disue.secure.wire import names, shamir
from disue.secure.wire.boxes import public_of
from disue.secure.wire.codec import encode
from disue.secure.wire.hashes import H, vector_hash
from disue.secure.wire.header import Header
from disue.secure.wire.messages import MASK_KEY, NAMES, Abort, AliveSig, Choice, Close, Keys, Masked
from disue.secure.wire.names import Refusal
from disue.secure.wire.opening import SKETCH

KEYS, SEED, SKETCHED, SHARES, MASKED, ALIVE, ALIVE_SIG, UNMASK, CLOSE = 3, 5, 7, 10, 12, 13, 14, 16, 17
SENT = [KEYS, SEED, SKETCHED, SHARES, MASKED, ALIVE_SIG, UNMASK]
Change = Callable[[bytes], bytes | Sequence[bytes]]


def meddled(
    kind: int, change: Change, who: int = 0, n: int = 8, dropouts: dict | None = None
) -> tuple[Federation, Exchange, dict, list[Refusal]]:
    """A round in which the messages of a kind from one client are changed on their way to the server."""
    fed = Federation(n)
    exchange = fed.exchange(fed.open(SKETCH), dropouts=dropouts)

    def up(index: int, message: bytes) -> Sequence[bytes]:
        if index != who or message[5] != kind:
            return [message]
        found = change(message)
        return [found] if isinstance(found, bytes) else found

    exchange.wire = Meddler(fed.crowd, up=up)
    sums = a_round(fed, exchange)
    return fed, exchange, sums, [event.refusal for event in exchange.events if isinstance(event, Refused)]


def resigned(**fields: object) -> Change:
    def change(raw: bytes) -> bytes:
        old = read(raw).body
        new = {name: value(getattr(old, name)) if callable(value) else value for name, value in fields.items()}
        return changed(raw, identity(0), **new)

    return change


def headed(key: int = 0, **fields: object) -> Change:
    return lambda raw: changed(raw, identity(key), header=fields)


def right(fed: Federation, exchange: Exchange, sums: dict) -> None:
    """Whatever happened, a sum that was given is the sum over those who are said to be in it."""
    for one in sums.values():
        np.testing.assert_allclose(np.concatenate(one.sections), fed.expected(one.alive), rtol=0, atol=1e-8)


CHANGES: list[tuple[str, Change]] = [
    ("Malformed", lambda raw: raw[:-1]),
    ("Malformed", lambda raw: raw + b"\0"),
    ("Malformed", lambda raw: raw[:6] + b"\1" + raw[7:]),
    ("WrongVersion", lambda raw: raw[:4] + b"\2" + raw[5:]),
    ("TooLarge", lambda raw: raw + bytes(2**23)),
    ("BadSignature", lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])),
    ("BadSignature", headed(key=1)),
    ("UnknownSender", headed(sender=99)),
    ("BadSignature", headed(sender=1)),
    ("WrongRound", headed(round=0)),
    ("WrongRound", headed(attempt=1)),
    ("WrongContext", headed(context=bytes(32))),
]


@pytest.mark.parametrize("kind", SENT, ids=NAMES.get)
def test_a_message_that_is_refused_is_as_if_it_had_not_come(kind: int):
    for name, change in CHANGES:
        fed, exchange, sums, refusals = meddled(kind, change)
        assert [refusal.name for refusal in refusals] == [name], name
        assert {event.who for event in exchange.events if isinstance(event, Gone)} == {0}
        assert sums[0].alive.tolist() == list(range(0 if kind in (ALIVE_SIG, UNMASK) else 1, 8))
        right(fed, exchange, sums)


@pytest.mark.parametrize("kind", SENT, ids=NAMES.get)
def test_a_repeat_is_ignored_and_a_second_message_is_refused(kind: int):
    fed, exchange, sums, refusals = meddled(kind, lambda raw: [raw, raw, raw])
    assert refusals == [] and sums[0].alive.size == 8
    right(fed, exchange, sums)
    second = {
        KEYS: resigned(box=bytes(32)),
        SEED: resigned(boxes=lambda old: old[::-1][:1]),
        SKETCHED: resigned(confirmation=bytes(16)),
        SHARES: resigned(boxes=()),
        MASKED: resigned(values=lambda old: old + np.uint64(1)),
        ALIVE_SIG: resigned(seen=bytes(32)),
        UNMASK: resigned(shares=()),
    }[kind]
    fed, exchange, sums, refusals = meddled(kind, lambda raw: [raw, second(raw)])  # type: ignore[list-item]
    expected = names.SecondSketch if kind == SKETCHED else names.Duplicate
    assert [(type(refusal), refusal.culprit) for refusal in refusals] == [(expected, 0)]
    assert sums[0].alive.size == 8
    right(fed, exchange, sums)


def test_bodies_that_do_not_fit_the_round_are_refused():
    cases: list[tuple[int, Change]] = [
        (KEYS, resigned(masks=())),
        (KEYS, resigned(masks=lambda old: old * 2)),
        (SEED, resigned(boxes=lambda old: old[1:])),
        (SKETCHED, resigned(values=lambda old: (old[0][:-2],))),
        (SKETCHED, resigned(values=())),
        (SHARES, resigned(boxes=lambda old: old[1:])),
        (MASKED, resigned(values=lambda old: old[1:])),
        (UNMASK, resigned(shares=lambda old: old[1:])),
    ]
    for kind, change in cases:
        fed, exchange, sums, refusals = meddled(kind, change)
        assert [type(refusal) for refusal in refusals] == [names.Malformed], NAMES[kind]
        right(fed, exchange, sums)


def test_keys_that_everybody_would_refuse_cost_their_owner_alone():
    fed = Federation(8)
    seen: list[bytes] = []

    def up(index: int, message: bytes) -> list[bytes]:
        if message[5] != KEYS:
            return [message]
        seen.append(read(message).body.box)
        return [changed(message, identity(5), box=seen[2])] if index == 5 else [message]

    exchange = fed.exchange(fed.open())
    exchange.wire = Meddler(fed.crowd, up=up)
    sums = a_round(fed, exchange)
    refusals = [event.refusal for event in exchange.events if isinstance(event, Refused)]
    assert [(type(refusal), refusal.culprit) for refusal in refusals] == [(names.DuplicateKey, 5)]
    assert sums[0].alive.tolist() == [0, 1, 2, 3, 4, 6, 7]
    for weak in (bytes(32), b"\1" + bytes(31)):
        _, _, sums, refusals = meddled(KEYS, resigned(masks=(weak,)))
        assert [(type(refusal), refusal.culprit) for refusal in refusals] == [(names.WeakKey, 0)]
        assert sums[0].alive.size == 7


def say(kind: int, body: object) -> Change:
    """Another body in the place of an honest message, from the same client."""
    return lambda raw: encode(replaced(raw, body), body, identity(0))  # type: ignore[arg-type]


def replaced(raw: bytes, body: object) -> Header:
    header = read(raw).header
    return Header(body.TYPE, header.round, header.attempt, 0, header.context, header.sum, header.pass_)  # type: ignore[attr-defined]


def test_a_message_of_another_stage_is_unexpected():
    for kind, body in [(SEED, Keys(bytes(32), (bytes(32),))), (SKETCHED, Choice(0, np.inf))]:
        _, _, sums, refusals = meddled(kind, say(kind, body))
        expected = names.Duplicate if kind == SEED else names.UnexpectedMessage
        assert [type(refusal) for refusal in refusals] == [expected] and sums
    for kind, body in [
        (SHARES, AliveSig(bytes(32))),
        (MASKED, AliveSig(bytes(32))),
        (UNMASK, Masked(np.ones(9, "u8"))),
    ]:
        _, _, sums, refusals = meddled(kind, say(kind, body))
        expected = names.Duplicate if kind == UNMASK else names.UnexpectedMessage
        assert [type(refusal) for refusal in refusals] == [expected] and sums
    _, _, _, refusals = meddled(SHARES, headed(sum=1))
    assert [type(refusal) for refusal in refusals] == [names.UnexpectedMessage]
    _, _, _, refusals = meddled(SHARES, headed(pass_=1))
    assert [type(refusal) for refusal in refusals] == [names.WrongContext]


def test_another_seed_than_most_hold_is_named_and_left_out():
    fed, exchange, sums, refusals = meddled(SKETCHED, resigned(confirmation=bytes(16)), who=0)
    assert [(type(refusal), refusal.culprit) for refusal in refusals] == [(names.SeedDisagreement, 0)]
    assert sorted(exchange.round.answers) == list(range(1, 8))
    right(fed, exchange, sums)


def test_a_signature_on_another_alive_set_does_not_count():
    fed, exchange, sums, refusals = meddled(ALIVE_SIG, resigned(seen=bytes(32)))
    assert [type(refusal) for refusal in refusals] == [names.Equivocation]
    assert sums[0].alive.size == 8
    right(fed, exchange, sums)


def test_the_other_kind_of_share_is_refused():
    other = resigned(shares=lambda old: ((0, MASK_KEY, old[0][2]), *old[1:]))
    _, _, sums, refusals = meddled(UNMASK, other)
    assert [(type(refusal), refusal.culprit) for refusal in refusals] == [(names.BothShares, 0)] and sums


def wrong(raw: bytes) -> bytes:
    """All shares of a holder changed in one bit."""
    spoilt = tuple((m, kind, bytes([share[0] ^ 1]) + share[1:]) for m, kind, share in read(raw).body.shares)
    return changed(raw, identity(0), shares=spoilt)


def test_a_wrong_share_is_found_among_spare_ones():
    """Ten of eleven holders answer where eight open: one wrong share is outvoted, also for who dropped."""
    fed, exchange, sums, refusals = meddled(UNMASK, wrong, n=11, dropouts={"masked": [7]})
    assert refusals == [] and sums[0].alive.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]
    right(fed, exchange, sums)


@pytest.mark.parametrize("lost", [{"masked": [6], "unmask": [7]}, {"unmask": [6, 7]}])
def test_without_spare_shares_a_wrong_one_gives_no_sum(lost: dict):
    """A mask key is held against its public half; a self seed has none, and the sum shows it."""
    _, exchange, sums, _ = meddled(UNMASK, wrong, dropouts=lost)
    failed = [event.refusal for event in exchange.events if isinstance(event, Failed)]
    assert sums == {} and len(failed) == 1
    assert type(failed[0]) is (names.BadShares if "masked" in lost else names.ImplausibleSum)


def test_secrets_from_shares():
    random = np.random.default_rng(3).bytes
    secret = random(32)
    public = public_of(secret)
    shares = dict(enumerate(shamir.split(secret, 10, 7, random)))
    assert secret_of(shares, 7, None, 0) == secret_of(shares, 7, public, 0) == secret
    two_bad = shares | {1: shares[2], 4: bytes(33)}
    assert secret_of(two_bad, 7, public, 0) == secret
    with pytest.raises(names.BadShares):
        secret_of({at: two_bad[at] for at in range(8)}, 7, public, 5)
    assert secret_of(shares | {1: shares[2]}, 7, None, 0) == secret
    with pytest.raises(names.BadShares):
        secret_of({at: (shares | {1: shares[2]})[at] for at in range(8)}, 7, None, 5)  # seven against seven
    with pytest.raises(names.BadShares):
        secret_of({at: shares[at] for at in range(6)}, 7, None, 5)


def test_a_late_vector_of_a_dropped_member_is_refused():
    """Its mask key is out by then: with its self seed, which nobody gave, the vector would be open."""
    held: list[bytes] = []

    def up(index: int, message: bytes) -> list[bytes]:
        if index == 0 and message[5] == MASKED:
            held.append(message)
            return []
        return [message, *held] if message[5] in (ALIVE_SIG, UNMASK) else [message]

    fed = Federation(8)
    exchange = fed.exchange(fed.open())
    exchange.wire = Meddler(fed.crowd, up=up)
    sums = a_round(fed, exchange)
    refusals = {type(event.refusal) for event in exchange.events if isinstance(event, Refused)}
    assert names.UnknownSender in refusals and sums[0].alive.tolist() == list(range(1, 8))
    right(fed, exchange, sums)


@pytest.mark.parametrize("field", ["starts", "reference", "layout"])
def test_two_models_for_two_halves_give_no_sum(field: str):
    """Each half is told the model that it received; their masks do not fit together, boxes do not open."""
    fed = Federation(8)
    lie = {"starts": (bytes(32),), "reference": bytes(32), "layout": bytes(32)}[field]

    def told(half: bool) -> Received:
        honest = {"layout": fed.open().layout, "reference": vector_hash(REFERENCE), "starts": (vector_hash(START),)}
        return Received(**(honest | ({field: lie} if half else {})))  # type: ignore[arg-type]

    for index in range(8):
        fed.parties[index] = fed.party(index, received=lambda opened, index=index: told(index >= 4))
    exchange = fed.exchange(fed.open())

    def down(index: int, message: bytes) -> list[bytes]:
        return [changed(message, **{field: lie})] if index >= 4 and message[5] == 2 else [message]

    exchange.wire = Meddler(fed.crowd, down)
    exchange.open()
    assert sorted(exchange.round.keys) == [0, 1, 2, 3]  # the others answered in another context
    refusals = [event.refusal for event in exchange.events if isinstance(event, Refused)]
    assert [type(refusal) for refusal in refusals] == [names.WrongContext] * 4


def test_leaving_is_told_in_a_context_of_the_round():
    fed = Federation(6)
    current = opening(fed.roster, 1, 0, fed.open())
    context = current.of_round
    said = encode(Header(Abort.TYPE, 1, 0, 2, context), Abort(names.WrongStart().code, 0xFFFFFFFF), fed.keys[2])
    after, out, events = machine.step(current, said)
    assert out == [] and list(after.gone) == [2]
    assert [(event.who, event.refusal.name) for event in events if isinstance(event, Gone)] == [(2, "WrongStart")]
    elsewhere = encode(Header(Abort.TYPE, 1, 0, 3, bytes(32)), Abort(1, 0xFFFFFFFF), fed.keys[3])
    same, _, (refused,) = machine.step(after, elsewhere)
    assert same is after and isinstance(refused, Refused) and refused.refusal.name == "WrongContext"
    again, _, events = machine.step(after, said)
    assert again is after and events == []


def test_events_of_another_moment():
    fed = Federation(6)
    current = opening(fed.roster, 1, 0, fed.open())
    assert machine.step(current, Deadline("SKETCHING")) == (current, [], [])
    assert machine.step(current, Deadline("SHARING", 0)) == (current, [], [])
    for event in (Trained(), Group({0: (0, 1, 2)})):
        with pytest.raises(names.UnexpectedMessage):
            machine.step(current, event)
    after, out, events = machine.step(current, Deadline("OPEN"))
    assert after.stage == "DONE" and out == []
    assert [type(event) for event in events] == [Gone] * 6 + [Failed]


def test_the_result_is_hashed_in_the_close():
    fed = Federation(5)
    sums = a_round(fed, fed.exchange(fed.open()))
    closes = [read(raw).body for way, _, raw in fed.kept.messages if way == b"d" and raw[5] == CLOSE]
    assert closes == [Close(H("result", sums[0].total.astype("<u8").tobytes()), ())] * 5
