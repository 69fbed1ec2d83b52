"""Rosters: sorted by id, hashed as they stand, taken when signed by the authority or pinned."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from secure_bed import Federation, identity, name

from disue.secure.wire.names import (
    BadSignature,
    DuplicateKey,
    Malformed,
    PolicyTooWeak,
    Refusal,
    TooLarge,
    WrongRoster,
)
from disue.secure.wire.roster import Roster, load

AUTHORITY = identity(50)
KEY = AUTHORITY.public_key().public_bytes_raw()
ROSTER = Federation(4).roster


def test_ids_are_sorted_and_the_hash_is_of_the_body():
    keys = {name(index): bytes([index]) * 32 for index in (3, 0, 2)}
    roster = Roster.of(keys, version=7, epoch=1)
    assert roster.ids == (name(0), name(2), name(3)) and len(roster) == 3
    entries = b"".join(client + keys[client] for client in sorted(keys))
    body = (7).to_bytes(8, "little") + (1).to_bytes(8, "little") + (3).to_bytes(4, "little") + entries
    assert roster.hash == hashlib.sha256(b"disue/1/roster\0" + body).digest()
    assert len(roster.message(AUTHORITY)) == 64 + 20 + 3 * 48 + 64


def test_a_roster_is_taken_as_it_was_made():
    assert load(ROSTER.message(AUTHORITY), authority=KEY) == ROSTER
    assert load(ROSTER.message(), pinned=ROSTER.hash) == ROSTER


@pytest.mark.parametrize(
    ("message", "how", "name"),
    [
        (ROSTER.message(identity(51)), {"authority": KEY}, BadSignature),
        (ROSTER.message(), {"authority": KEY}, BadSignature),
        (ROSTER.message(AUTHORITY), {"pinned": ROSTER.hash}, BadSignature),
        (ROSTER.message(), {"pinned": bytes(32)}, WrongRoster),
        (ROSTER.message(AUTHORITY), {"authority": KEY, "limit": 100}, TooLarge),
        (replace(ROSTER, ids=ROSTER.ids[::-1]).message(AUTHORITY), {"authority": KEY}, Malformed),
        (replace(ROSTER, ids=(ROSTER.ids[0], *ROSTER.ids[:3])).message(AUTHORITY), {"authority": KEY}, Malformed),
        (replace(ROSTER, keys=(ROSTER.keys[0],) * 4).message(AUTHORITY), {"authority": KEY}, DuplicateKey),
        (Federation(2).roster.message(AUTHORITY), {"authority": KEY}, PolicyTooWeak),
    ],
)
def test_others_are_refused(message: bytes, how: dict, name: type[Exception]):
    with pytest.raises(name):
        load(message, **how)


def test_every_flipped_bit_is_refused():
    raw = ROSTER.message(AUTHORITY)
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refusal):
            load(bytes(flipped), authority=KEY)
