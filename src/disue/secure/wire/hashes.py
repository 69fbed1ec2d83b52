"""Hashes and derived keys, by name: one label each, so that no two purposes share an input.

    roster_hash = H("roster", roster body)
    ctx_round   = H("round", roster_hash, u64 round, u32 attempt, H("body", ROUND_OPEN body))
    ctx_keys    = H("keys", ctx_round, H("body", KEYS_LIST body))
    ctx_sum     = H("sum", ctx_keys, H("body", GROUPS body), u32 sum id, u8 pass)
    ctx_pass    = H("pass", ctx_sum of the second pass, H("body", CLOSE body of the first)), its context

ROUND_OPEN holds the layout, the hashes of all start models, the sections with their scales, the floors and the cohort:
two clients who were told different things derive different masks, and the sum is noise.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from disue.core.checks import Array

PREFIX = b"disue/1/"


def label(name: str) -> bytes:
    """The bytes that begin a hash input or a derivation's info."""
    return PREFIX + name.encode("ascii") + b"\0"


def u8(value: int) -> bytes:
    return value.to_bytes(1, "little")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def u64(value: int) -> bytes:
    return value.to_bytes(8, "little")


def H(name: str, *parts: bytes | memoryview) -> bytes:
    """SHA-256 of the label and the parts; 32 bytes."""
    state = hashlib.sha256(label(name))
    for part in parts:
        state.update(part)
    return state.digest()


def body_hash(body: bytes | memoryview) -> bytes:
    return H("body", body)


def vector_hash(values: Array) -> bytes:
    """Of a model as it is received: float32, little-endian, without its shape."""
    import numpy as np

    return H("vector", np.ascontiguousarray(values, "<f4").tobytes())


def roster_hash(body: bytes) -> bytes:
    return H("roster", body)


def ctx_round(roster: bytes, number: int, attempt: int, open_body: bytes) -> bytes:
    return H("round", roster, u64(number), u32(attempt), body_hash(open_body))


def ctx_keys(of_round: bytes, list_body: bytes) -> bytes:
    return H("keys", of_round, body_hash(list_body))


def ctx_sum(of_keys: bytes, groups_body: bytes, sum_id: int, pass_: int) -> bytes:
    return H("sum", of_keys, body_hash(groups_body), u32(sum_id), u8(pass_))


def ctx_pass(of_sum: bytes, close_body: bytes) -> bytes:
    """The context of a second pass, from its `ctx_sum` and what CLOSE told of the first."""
    return H("pass", of_sum, body_hash(close_body))


def signed(header: bytes, body: bytes | memoryview) -> bytes:
    """What a signature is made over."""
    return label("sig") + header + body_hash(body)


def leader_rank(of_round: bytes, client: bytes) -> bytes:
    """The clients with the lowest ranks lead the sketch seed."""
    return H("leader", of_round, client)


def holder_rank(of_keys: bytes, client: bytes) -> bytes:
    """The clients with the lowest ranks hold shares, where a cohort has more than there are holders."""
    return H("holder", of_keys, client)


def partner_rank(of_sum: bytes, client: bytes) -> bytes:
    """The order in which the partners' graph of a group is drawn."""
    return H("partner", of_sum, client)


def lot_hash(clients: Sequence[bytes]) -> bytes:
    """The identity of a lot: its members' ids, whatever their order, across rosters."""
    return H("lot", u32(len(clients)), *sorted(clients))


def hkdf(ikm: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869), 32 bytes."""
    return hmac.digest(hmac.digest(salt, ikm, "sha256"), info + b"\x01", "sha256")


def seed_box_info(of_keys: bytes, leader: int, to: int) -> bytes:
    return label("box-seed") + of_keys + u32(leader) + u32(to)


def share_box_info(of_sum: bytes, member: int, holder: int) -> bytes:
    return label("box-share") + of_sum + u32(member) + u32(holder)


def pair_mask(secret: bytes, of_sum: bytes, one: int, other: int) -> bytes:
    low, high = min(one, other), max(one, other)
    return hkdf(secret, of_sum, label("mask-pair") + u32(low) + u32(high))


def self_mask(seed: bytes, of_sum: bytes, member: int) -> bytes:
    return hkdf(seed, of_sum, label("mask-self") + u32(member))
