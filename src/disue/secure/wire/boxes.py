"""Key agreement and sealed boxes: X25519, and ChaCha20-Poly1305 under single-use keys.

A box's key comes from the two parties' secret and 16 random bytes that travel with the box, so that a client which
lost its memory and sends again cannot use a key twice; the nonce can then be zero.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from disue.secure.wire.hashes import hkdf
from disue.secure.wire.names import BoxTampered, WeakKey

NONCE = bytes(12)


def public_of(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def shared(private: bytes, public: bytes, who: int | None = None) -> bytes:
    """The secret of a pair of keys; `who` is the owner of the public one, for the refusal of an all-zero secret."""
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise WeakKey(who) from None


def seal(secret: bytes, salt: bytes, info: bytes, content: bytes) -> bytes:
    """16 bytes longer than the content."""
    return ChaCha20Poly1305(hkdf(secret, salt, info)).encrypt(NONCE, content, info)


def unseal(secret: bytes, salt: bytes, info: bytes, box: bytes, who: int | None = None) -> bytes:
    """`who` sealed the box, for the refusal."""
    try:
        return ChaCha20Poly1305(hkdf(secret, salt, info)).decrypt(NONCE, box, info)
    except InvalidTag:
        raise BoxTampered(who) from None
