"""Who belongs to the federation: ids and public identity keys, signed by an authority that is not the server.

Without an authority the roster is pinned: each client's operator checked the file, and its hash is what counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from disue.secure.wire.codec import LIMIT, decode, encode
from disue.secure.wire.hashes import roster_hash
from disue.secure.wire.header import SERVER, ZERO, Header
from disue.secure.wire.messages import SIGNATURE, RosterBody
from disue.secure.wire.names import BadSignature, DuplicateKey, Malformed, PolicyTooWeak, WrongRoster

FEWEST = 3  # with one other client a sum gives it away, and the Gram matrix is one number


@dataclass(frozen=True)
class Roster:
    """version rises with every change; ids are ascending, 16 bytes each; keys are Ed25519."""

    version: int
    epoch: int
    ids: tuple[bytes, ...]
    keys: tuple[bytes, ...]

    @staticmethod
    def of(keys: Mapping[bytes, bytes], version: int = 1, epoch: int = 0) -> Roster:
        """From ids and their keys."""
        ids = tuple(sorted(keys))
        return Roster(version, epoch, ids, tuple(keys[name] for name in ids))

    @cached_property
    def body(self) -> RosterBody:
        return RosterBody(self.version, self.epoch, self.ids, self.keys)

    @cached_property
    def hash(self) -> bytes:
        return roster_hash(self.body.pack())

    def __len__(self) -> int:
        return len(self.ids)

    def message(self, authority: Ed25519PrivateKey | None = None) -> bytes:
        """The ROSTER message; a pinned one has zeros for a signature."""
        header = Header(RosterBody.TYPE, 0, 0, SERVER, ZERO)
        if authority is not None:
            return encode(header, self.body, authority)
        body = self.body.pack()
        return header.pack(len(body)) + body + bytes(SIGNATURE)


def load(data: bytes, *, authority: bytes | None = None, pinned: bytes | None = None, limit: int = LIMIT) -> Roster:
    """A roster from its message, checked against the authority's key or against the pinned hash."""
    assert (authority is None) != (pinned is None), "a roster is checked by an authority or by a pin"
    message = decode(data, limit=limit)
    body = message.body
    if not isinstance(body, RosterBody):
        raise Malformed("type")
    roster = Roster(body.version, body.epoch, body.ids, body.keys)
    if authority is not None:
        message.verify(authority)
    elif message.signature != bytes(SIGNATURE):
        raise BadSignature(None)
    elif roster.hash != pinned:
        raise WrongRoster()
    if len(roster) < FEWEST:
        raise PolicyTooWeak("a roster of fewer than 3 clients")
    seen: set[bytes] = set()
    for at, key in enumerate(roster.keys):
        if key in seen:
            raise DuplicateKey(at)
        seen.add(key)
    return roster
