"""Sealed boxes open for whom they were sealed, in the context they were sealed in, and untouched."""

from __future__ import annotations

import hashlib

import pytest

from disue.secure.wire import boxes, hashes
from disue.secure.wire.names import BoxTampered, WeakKey

ONE, OTHER, THIRD = (hashlib.sha256(name).digest() for name in (b"one", b"other", b"third"))
SALT = bytes(range(16))
INFO = hashes.share_box_info(bytes(32), 3, 8)
# Points of small order (Curve25519): every secret with them is zero.
WEAK = [
    bytes(32),
    b"\1" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
]


def test_both_ends_have_one_secret():
    secret = boxes.shared(ONE, boxes.public_of(OTHER))
    assert secret == boxes.shared(OTHER, boxes.public_of(ONE)) != boxes.shared(ONE, boxes.public_of(THIRD))


def test_a_box_opens_with_all_that_it_was_sealed_with():
    box = boxes.seal(ONE, SALT, INFO, b"content")
    assert len(box) == len(b"content") + 16 and boxes.unseal(ONE, SALT, INFO, box) == b"content"
    wrong = [
        (OTHER, SALT, INFO, box),
        (ONE, bytes(16), INFO, box),
        (ONE, SALT, hashes.share_box_info(bytes(32), 8, 3), box),
        (ONE, SALT, hashes.share_box_info(bytes([1]) + bytes(31), 3, 8), box),
        (ONE, SALT, INFO, box[:-1]),
        (ONE, SALT, INFO, b""),
        *((ONE, SALT, INFO, box[:at] + bytes([box[at] ^ 1]) + box[at + 1 :]) for at in range(len(box))),
    ]
    for case in wrong:
        with pytest.raises(BoxTampered) as refused:
            boxes.unseal(*case, 5)
        assert refused.value.culprit == 5


@pytest.mark.parametrize("public", WEAK)
def test_keys_without_a_secret_are_refused(public: bytes):
    with pytest.raises(WeakKey) as refused:
        boxes.shared(ONE, public, 4)
    assert refused.value.culprit == 4
