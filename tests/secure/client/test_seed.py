"""The sketch seed: one for all members, made of every leader's part, and of no one's choosing."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from disue.secure.client.seed import Seed, contribute, derive
from disue.secure.wire.boxes import public_of
from disue.secure.wire.names import BoxTampered, LeaderMissing
from secure_by_hand import hkdf, key

COHORT = (3, 8, 20, 21)
PRIVATE = {index: key(f"box {index}") for index in COHORT}
PUBLIC = {index: public_of(secret) for index, secret in PRIVATE.items()}
PARTS = {index: key(f"part {index}") for index in COHORT}
CTX = key("ctx")


def relays(led_by=COHORT, of_keys: bytes = CTX) -> dict[int, list]:
    """Each member's boxes, as the server would pass them on."""
    out: dict[int, list] = {index: [] for index in COHORT}
    for leader in led_by:
        for sealed in contribute(PARTS[leader], leader, PRIVATE[leader], PUBLIC, of_keys, os.urandom):
            out[sealed.peer].append(replace(sealed, peer=leader))
    return out


def seed_of(me: int, given: dict[int, list], led_by=COHORT, of_keys: bytes = CTX) -> Seed:
    own = PARTS[me] if me in led_by else None
    return derive(given[me], led_by, me, PRIVATE[me], PUBLIC, of_keys, own)


@pytest.mark.parametrize("led_by", [COHORT, (8, 21), (20,)])
def test_all_members_have_one_seed_and_it_is_the_one_of_the_format(led_by: tuple[int, ...]) -> None:
    given = relays(led_by)
    seeds = {seed_of(me, given, led_by) for me in COHORT}
    listed = b"".join(index.to_bytes(4, "little") for index in (len(led_by), *led_by))
    info = b"disue/1/sketch-seed\0" + listed
    assert seeds == {Seed(hkdf(b"".join(PARTS[leader] for leader in led_by), CTX, info), CTX)}
    seed = seeds.pop()
    assert seed.confirmation == hkdf(seed.secret, CTX, b"disue/1/seed-confirm\0")[:16]
    assert seed.streams(2).countsketch == hkdf(seed.secret, CTX, b"disue/1/countsketch\0" + bytes([2, 0, 0, 0]))
    assert seed.streams().gaussian == hkdf(seed.secret, CTX, b"disue/1/gaussian\0" + bytes(4))
    assert seed.streams().extra == hkdf(seed.secret, CTX, b"disue/1/gaussian-extra\0" + bytes(4))


def test_every_part_and_the_context_count() -> None:
    base = seed_of(3, relays())
    other = key("another context")
    seen = {base.secret, seed_of(3, relays(of_keys=other), of_keys=other).secret}
    for leader in COHORT:
        old, PARTS[leader] = PARTS[leader], key("changed")
        try:
            seen.add(seed_of(3, relays()).secret)
        finally:
            PARTS[leader] = old
    assert len(seen) == 2 + len(COHORT)
    streams = [base.streams(0), base.streams(1)]
    assert len({one for found in streams for one in (found.countsketch, found.gaussian, found.extra)}) == 6


def test_a_leader_that_was_left_out_is_named() -> None:
    given = relays()
    given[3] = [sealed for sealed in given[3] if sealed.peer != 20]
    with pytest.raises(LeaderMissing) as refused:
        seed_of(3, given)
    assert refused.value.culprit == 20


@pytest.mark.parametrize("what", ["bit", "salt", "context", "swapped", "other member's"])
def test_a_box_that_was_touched_is_refused(what: str) -> None:
    given = relays()
    first, second, *rest = given[3]
    if what == "bit":
        first = replace(first, box=bytes([first.box[0] ^ 1]) + first.box[1:])
    elif what == "salt":
        first = replace(first, salt=bytes(16))
    elif what == "context":
        first = next(sealed for sealed in relays(of_keys=key("another"))[3] if sealed.peer == first.peer)
    elif what == "swapped":
        first, second = replace(first, peer=second.peer), replace(second, peer=first.peer)
    else:
        first = next(sealed for sealed in given[8] if sealed.peer == 20)
        second = first
    given[3] = [first, second, *rest]
    with pytest.raises((BoxTampered, LeaderMissing)):
        seed_of(3, given)


def test_a_part_of_another_length_is_refused() -> None:
    given = relays()
    short = contribute(bytes(31), 8, PRIVATE[8], PUBLIC, CTX, os.urandom)
    given[3] = [sealed for sealed in given[3] if sealed.peer != 8] + [replace(short[0], peer=8)]
    with pytest.raises(BoxTampered):
        seed_of(3, given)


def test_the_secret_is_not_printed() -> None:
    assert PARTS[3].hex() not in repr(Seed(PARTS[3], CTX)) and repr(PARTS[3]) not in repr(Seed(PARTS[3], CTX))
