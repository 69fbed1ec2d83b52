"""Messages as bytes and back: one encoding each, so what is accepted encodes to the very bytes that came."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from disue.secure.wire.hashes import signed
from disue.secure.wire.header import MAGIC, NO_PASS, NO_SUM, PACK, SERVER, SIZE, VERSION, ZERO, Header, Reader
from disue.secure.wire.messages import BY_TYPE, FROM_CLIENTS, OF_A_SUM, SIGNATURE, Abort, AnyBody, Masked, RosterBody
from disue.secure.wire.names import BadSignature, Malformed, TooLarge, WrongVersion

LIMIT = 4 * 2**20  # of every body but MASKED, which has exactly the length that the round gives it


@dataclass(frozen=True, eq=False)
class Message:
    """A message that was read. raw  its bytes; body_at  its body's; signature  empty where it has none"""

    header: Header
    body: AnyBody
    raw: bytes
    signature: bytes

    @property
    def body_bytes(self) -> memoryview:
        return memoryview(self.raw)[SIZE : len(self.raw) - len(self.signature)]

    def verify(self, key: bytes) -> None:
        """Refuses unless `key` signed this message."""
        said = signed(self.raw[:SIZE], self.body_bytes)
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(self.signature, said)
        except (InvalidSignature, ValueError):
            who = None if self.header.sender == SERVER else self.header.sender
            raise BadSignature(who) from None


def is_signed(type_: int, sender: int) -> bool:
    return type_ in FROM_CLIENTS or type_ == RosterBody.TYPE or (type_ == Abort.TYPE and sender != SERVER)


def encode(header: Header, body: AnyBody, key: Ed25519PrivateKey | None = None) -> bytes:
    """A message; with `key` where its type is signed."""
    packed = body.pack()
    front = header.pack(len(packed))
    if not is_signed(header.type, header.sender):
        return front + packed
    assert key is not None, f"type {header.type} is signed"
    return b"".join((front, packed, key.sign(signed(front, packed))))


def decode(data: bytes, *, limit: int = LIMIT, masked: int = 0) -> Message:
    """Reads one message, or refuses it by name; nothing is allocated for what the limits do not allow.

    limit   bytes that a body may have
    masked  bytes that the body of a MASKED may have, where one may come
    """
    most = max(limit, masked)
    if len(data) > SIZE + most + SIGNATURE:
        raise TooLarge(most)
    if len(data) < SIZE:
        raise Malformed("header")
    magic, version, type_, flags, number, attempt, sender, length, sum_, pass_, context = PACK.unpack_from(data)
    if magic != MAGIC:
        raise Malformed("magic")
    if version != VERSION:
        raise WrongVersion(version)
    if type_ not in BY_TYPE:
        raise Malformed("type")
    if flags:
        raise Malformed("flags")
    header = Header(type_, number, attempt, sender, context, sum_, pass_)
    _placed(header)
    allowed = masked if type_ == Masked.TYPE else limit
    if length > allowed:
        raise TooLarge(allowed)
    tail = SIGNATURE if is_signed(type_, sender) else 0
    if len(data) != SIZE + length + tail:
        raise Malformed("length")
    reader = Reader(memoryview(data)[SIZE : SIZE + length])
    body = BY_TYPE[type_].unpack(reader)
    reader.end()
    return Message(header, body, data, data[SIZE + length :])


def _placed(header: Header) -> None:
    """Who may send a type, and whether it speaks about a sum."""
    if header.type in FROM_CLIENTS and header.sender == SERVER:
        raise Malformed("sender")
    if header.type not in FROM_CLIENTS and header.type != Abort.TYPE and header.sender != SERVER:
        raise Malformed("sender")
    about = header.type in OF_A_SUM
    if (header.sum != NO_SUM) != about:
        raise Malformed("sum")
    if (header.pass_ != NO_PASS) != about:
        raise Malformed("pass")
    if header.type == RosterBody.TYPE and (header.round or header.attempt or header.context != ZERO):
        raise Malformed("roster header")
