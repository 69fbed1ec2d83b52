"""Formats: one encoding each, and nothing but the encoding is read."""

from __future__ import annotations

import contextlib
import math
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from secure_bed import Federation, Moment, identity, moments

from disue.secure.client import machine as client
from disue.secure.client.state import Aborted, State
from disue.secure.server import machine as server
from disue.secure.server.state import Refused, Round
from disue.secure.wire.codec import LIMIT, decode, encode, is_signed
from disue.secure.wire.header import NO_PASS, NO_SUM, SERVER, SIZE, ZERO, Header
from disue.secure.wire.messages import (
    BODIES,
    BY_TYPE,
    FROM_CLIENTS,
    NAMES,
    OF_A_SUM,
    SIGNATURE,
    Abort,
    Alive,
    AliveProof,
    AliveSig,
    AnyBody,
    Choice,
    Close,
    Grouped,
    Keys,
    KeysList,
    Masked,
    RosterBody,
    Sealed,
    Seed,
    SeedRelay,
    Shares,
    SharesRelay,
    Signs,
    Sketch,
    Unmask,
)
from disue.secure.wire.names import REFUSALS, Malformed, Refusal, TooLarge, WrongVersion, told
from disue.secure.wire.opening import ALL_STARTS, ASSIGN, BITS, KINDS, NONE, OWN_START, SKETCH, Open, Section

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
u16 = st.integers(0, 2**16 - 1)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)


def exactly(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


def rising(most: int = 6, values: st.SearchStrategy[int] = u32) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(values, max_size=most, unique=True).map(lambda found: tuple(sorted(found)))


@st.composite
def sealed(draw: st.DrawFn, size: int) -> tuple[Sealed, ...]:
    return tuple(Sealed(peer, draw(exactly(16)), draw(exactly(size))) for peer in draw(rising(4)))


@st.composite
def openings(draw: st.DrawFn) -> Open:
    similarity = draw(st.sampled_from([NONE, SKETCH, BITS, ASSIGN]))
    sketched = similarity in (SKETCH, BITS)
    starts = tuple(draw(st.lists(exactly(32), min_size=1, max_size=3)))
    start = st.just(ALL_STARTS) if similarity == ASSIGN else st.sampled_from([*range(len(starts)), OWN_START])
    classes = draw(st.integers(0, 3))
    bound = st.floats(1e-3, 1e9)
    kinds = draw(st.lists(st.sampled_from([1, 2, 3, 4, 8, 9]), max_size=3, unique=True))
    sections = [
        Section(kind, draw(st.integers(0, 1)), draw(st.integers(1, 2**20)), draw(st.integers(0, 62)), draw(bound))
        for kind in kinds
    ]
    if classes:
        sections += [
            Section(10, 1, classes, 0, 1.0),
            Section(5, 1, classes, 0, 9.0),
            Section(7, 1, 2 * classes, 3, 9.0),
        ]
    return Open(
        *(draw(exactly(32)) for _ in range(3)),
        similarity=similarity,
        cohort=tuple((index, draw(start)) for index in (draw(rising(5)) or (7,))),
        sections=tuple(sections),
        starts=starts,
        slices=tuple((draw(st.integers(0, 99)), draw(st.integers(1, 99))) for _ in range(2)) if sketched else (),
        k=8 * draw(st.integers(1, 512)) if sketched else 0,
        m=2 ** draw(st.integers(0, 20)) if sketched else 0,
        min_group=draw(u32),
        min_cell=draw(u32),
        min_class=draw(u32),
        quorum=draw(u32),
        consistency=draw(st.booleans()),
        passes=2 if classes else 1,
        epsilon=draw(st.floats(0.1, 50)) if similarity == ASSIGN else math.inf,
    )


@st.composite
def grouped(draw: st.DrawFn) -> Grouped:
    numbers = draw(rising(3))
    members = draw(st.lists(u32, min_size=len(numbers), max_size=9, unique=True))
    groups = [tuple(sorted(members[at :: len(numbers)])) for at in range(len(numbers))]
    return Grouped(tuple(zip(numbers, groups, strict=True)), draw(rising()))


@st.composite
def rosters(draw: st.DrawFn) -> RosterBody:
    ids = tuple(sorted(draw(st.lists(exactly(16), max_size=4, unique=True))))
    return RosterBody(draw(u64), draw(u64), ids, tuple(draw(exactly(32)) for _ in ids))


@st.composite
def wholes(draw: st.DrawFn) -> tuple[bytes, ...]:
    """Lists of whole messages, whose insides are looked at later."""
    found = []
    for body in draw(st.lists(st.binary(max_size=9), max_size=3)):
        found.append(Header(3, 1, 0, 5, ZERO).pack(len(body)) + body + draw(exactly(SIGNATURE)))
    return tuple(found)


@st.composite
def told_shares(draw: st.DrawFn) -> tuple[tuple[int, int, bytes], ...]:
    return tuple((member, draw(st.integers(0, 1)), draw(exactly(33))) for member in draw(rising()))


int16s = st.lists(st.integers(-32767, 32767), max_size=5).map(lambda found: np.array(found, "<i2").tobytes())
STRATEGIES: dict[int, st.SearchStrategy[AnyBody]] = {
    1: rosters(),
    2: openings(),
    3: st.builds(Keys, exactly(32), st.lists(exactly(32), max_size=3).map(tuple)),
    4: st.builds(KeysList, wholes()),
    5: st.builds(Seed, sealed(48)),
    6: st.builds(SeedRelay, sealed(48)),
    7: st.builds(Sketch, exactly(16), st.lists(int16s, max_size=3).map(tuple)),
    8: st.builds(Choice, u32, st.floats(1e-9, exclude_min=True)),
    9: grouped(),
    10: st.builds(Shares, st.integers(1, 3).flatmap(lambda passes: sealed(66 * passes + 16))),
    11: st.builds(SharesRelay, rising(), st.integers(1, 3).flatmap(lambda passes: sealed(66 * passes + 16))),
    12: st.builds(Masked, st.lists(u64, max_size=9).map(lambda found: np.array(found, np.uint64))),
    13: st.builds(Alive, rising()),
    14: st.builds(AliveSig, exactly(32)),
    15: st.builds(AliveProof, wholes()),
    16: st.builds(Unmask, told_shares()),
    17: st.builds(Close, exactly(32), st.lists(u64, max_size=4).map(tuple)),
    18: st.builds(Abort, st.integers(1, len(REFUSALS)), u32),
    19: st.builds(Signs, exactly(16), st.lists(st.binary(max_size=9), max_size=3).map(tuple)),
}  # fmt: skip


@st.composite
def messages(draw: st.DrawFn, kind: int) -> bytes:
    about = kind in OF_A_SUM
    sender = draw(st.integers(0, SERVER - 1)) if kind in FROM_CLIENTS else SERVER
    if kind == 18:
        sender = draw(u32)
    if kind == 1:
        return encode(Header(1, 0, 0, SERVER, ZERO), draw(STRATEGIES[1]), identity(0))
    header = Header(
        kind, draw(u64), draw(u32), sender, draw(exactly(32)),
        draw(st.integers(0, NO_SUM - 1)) if about else NO_SUM, draw(st.integers(0, NO_PASS - 1)) if about else NO_PASS,
    )  # fmt: skip
    return encode(header, draw(STRATEGIES[kind]), identity(0))


def reencoded(raw: bytes) -> bytes:
    message = decode(raw, masked=LIMIT)
    return message.header.pack(len(message.body_bytes)) + message.body.pack() + message.signature


def test_every_type_has_a_body_a_name_and_a_strategy():
    assert set(NAMES) == set(BY_TYPE) == set(STRATEGIES) == set(range(1, 20)) and len(BODIES) == 19


@pytest.mark.parametrize("kind", sorted(NAMES), ids=NAMES.get)
def test_what_was_encoded_is_read_back_and_only_whole(kind: int):
    @QUICK
    @given(messages(kind), st.data())
    def check(raw: bytes, data: st.DataObject) -> None:
        assert reencoded(raw) == raw
        message = decode(raw, masked=LIMIT)
        assert kind == type(message.body).TYPE and message.raw == raw
        if is_signed(kind, message.header.sender):
            message.verify(identity(0).public_key().public_bytes_raw())
        cut = data.draw(st.integers(0, len(raw) - 1))
        with pytest.raises(Malformed):
            decode(raw[:cut], masked=LIMIT)
        with pytest.raises(Malformed):
            decode(raw + data.draw(st.binary(min_size=1, max_size=70)), masked=LIMIT)

    check()


@pytest.mark.parametrize("kind", sorted(NAMES), ids=NAMES.get)
def test_whatever_is_accepted_is_canonical(kind: int):
    """Bytes of a body changed at random, the length kept or made to fit: refused by name, or the one encoding."""

    @QUICK
    @given(messages(kind), st.data())
    def check(raw: bytes, data: st.DataObject) -> None:
        tail = SIGNATURE if is_signed(kind, decode(raw, masked=LIMIT).header.sender) else 0
        body = bytearray(raw[SIZE : len(raw) - tail])
        for _ in range(data.draw(st.integers(1, 3))):
            what = data.draw(st.sampled_from(["set", "cut", "add"]))
            if what == "set" and body:
                body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
            elif what == "cut":
                del body[data.draw(st.integers(0, len(body))) :]
            else:
                body += data.draw(st.binary(max_size=12))
        forged = raw[:24] + struct.pack("<I", len(body)) + raw[28:SIZE] + bytes(body) + raw[len(raw) - tail :]
        with contextlib.suppress(Refusal):
            assert reencoded(forged) == forged

    check()


@QUICK
@given(st.binary(max_size=300))
def test_noise_is_refused_by_name(noise: bytes):
    with pytest.raises(Refusal):
        decode(noise)


def test_sizes_are_checked_before_anything_is_read():
    header = Header(12, 1, 0, 3, ZERO, 0, 0)
    values = np.zeros(1000, np.uint64)
    raw = encode(header, Masked(values), identity(0))
    assert decode(raw, masked=8008).body_bytes.nbytes == 8008
    with pytest.raises(TooLarge) as refused:
        decode(raw, limit=5000, masked=8007)
    assert refused.value.what == (8007,)
    with pytest.raises(TooLarge):
        decode(raw)  # no MASKED may come
    with pytest.raises(TooLarge):
        decode(bytes(LIMIT + SIZE + SIGNATURE + 1))
    longer = raw[:24] + struct.pack("<I", 2**32 - 1) + raw[28:]
    with pytest.raises(TooLarge):
        decode(longer, masked=8008)
    count = encode(Header(13, 1, 0, SERVER, ZERO, 0, 0), Alive((1, 2)))
    with pytest.raises(Malformed):
        decode(count[:SIZE] + struct.pack("<I", 2**31) + count[SIZE + 4 :])


def u32s(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


MOST = 2**16
BULKY = {
    1: bytes(16) + u32s(MOST) + b"".join(struct.pack(">Q", at) + bytes(40) for at in range(MOST)),
    2: Open(bytes(32), bytes(32), bytes(32), NONE, tuple((at, OWN_START) for at in range(MOST))).pack(),
    3: bytes(32) + u32s(MOST) + bytes(32 * MOST),
    4: u32s(2**15 - 1) + (Header(3, 1, 0, 5, ZERO).pack(0) + bytes(64)) * (2**15 - 1),
    5: u32s(61_000) + b"".join(u32s(at) + bytes(64) for at in range(61_000)),
    7: bytes(16) + u32s(MOST) + (u32s(29) + bytes(58)) * MOST,
    9: u32s(MOST - 2) + b"".join(u32s(at, 1, at) for at in range(MOST - 2)) + u32s(MOST, *range(MOST)),
    10: u32s(41_000) + b"".join(u32s(at) + bytes(98) for at in range(41_000)),
    13: u32s(MOST, *range(MOST)),
    16: u32s(MOST) + b"".join(u32s(at) + bytes(34) for at in range(MOST)),
    17: bytes(32) + u32s(MOST) + bytes(8 * MOST),
}


@pytest.mark.parametrize("kind", sorted(BULKY), ids=NAMES.get)
def test_the_largest_messages_take_a_few_times_their_size(kind: int):
    body = BULKY[kind]
    assert len(body) <= LIMIT
    about = (0, 0) if kind in OF_A_SUM else (NO_SUM, NO_PASS)
    number = 0 if kind == 1 else 1
    front = Header(kind, number, 0, 5 if kind in FROM_CLIENTS else SERVER, ZERO, *about).pack(len(body))
    raw = front + body + (bytes(64) if kind in FROM_CLIENTS or kind == 1 else b"")
    tracemalloc.start()
    try:
        decode(raw)
        assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT + 2**20
    finally:
        tracemalloc.stop()


def test_another_version_is_refused_by_name():
    raw = encode(Header(13, 1, 0, SERVER, ZERO, 0, 0), Alive((1, 2)))
    with pytest.raises(WrongVersion):
        decode(raw[:4] + b"\2" + raw[5:])


def refuses(moment: Moment, message: bytes) -> bool:
    """Whether the party that took a message in refuses another one in its place."""
    if isinstance(moment.before, State):
        return isinstance(client.step(moment.before, message)[2], Aborted)
    assert isinstance(moment.before, Round)
    after, out, events = server.step(moment.before, message)
    return after is moment.before and not out and isinstance(events[0], Refused)


SEEN = moments(fed := Federation(4), fed.exchange(fed.open(SKETCH, k=8, m=8)))
FIRST = {moment.kind: moment for moment in reversed(SEEN)}
CONTEXTS = {decode(moment.message, masked=LIMIT).header.context for moment in SEEN}


@pytest.mark.parametrize("kind", sorted(FIRST), ids=NAMES.get)
def test_every_flipped_bit_of_a_header_or_a_signed_body_is_refused(kind: int):
    moment = FIRST[kind]
    raw = moment.message
    assert not refuses(moment, raw)
    end = len(raw) if kind in FROM_CLIENTS else SIZE
    for bit in range(8 * end):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        if kind == Open.TYPE and 64 <= bit < 160:  # another round than the server's, in which nobody else is
            _, (keys,), _ = client.step(moment.before, bytes(flipped))  # type: ignore[arg-type]
            assert decode(keys).header.context not in CONTEXTS
            continue
        assert refuses(moment, bytes(flipped)), (NAMES[kind], bit)


@pytest.mark.parametrize("kind", sorted(FIRST), ids=NAMES.get)
def test_every_truncation_is_refused(kind: int):
    moment = FIRST[kind]
    assert all(refuses(moment, moment.message[:cut]) for cut in range(len(moment.message)))


def test_all_types_but_choices_signs_and_rosters_were_seen_in_that_round():
    assert set(NAMES) - set(FIRST) == {1, 8, 18, 19}


def test_names():
    assert len(set(REFUSALS)) == len(REFUSALS) == 38
    for code, kind in enumerate(REFUSALS, start=1):
        fields = kind.said.count("{}")
        refusal = kind(*range(fields))
        assert refusal.code == code and refusal.name == kind.__name__ and not str(refusal).endswith(".")
        heard = told(code, 3)
        assert type(heard) is kind and heard.culprit == 3 and kind.__name__ in str(heard)


def test_kinds_of_sections_are_named():
    assert len(KINDS) == 12 and len(set(KINDS.values())) == 12
