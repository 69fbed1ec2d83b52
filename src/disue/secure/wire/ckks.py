"""Inner products of encrypted vectors (CKKS by TenSEAL, the extra `ckks`): what a server can do with a public key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from disue.core.errors import UserError

SLOTS = 4096  # numbers in a ciphertext of ring degree 8192


def library() -> Any:
    """TenSEAL, or the sentence that says how to get it."""
    try:
        import tenseal
    except ImportError:
        raise UserError('privacy.similarity: tenseal is not installed; pip install "disue[ckks]"', key="ckks") from None
    return tenseal


def products(public: bytes, ciphertexts: Sequence[bytes]) -> Iterator[bytes]:
    """Encrypted inner products of the pairs (0, 1), (0, 2) … (n − 2, n − 1), with a key that opens none of them."""
    ts = library()
    context = ts.context_from(public)
    vectors = [ts.ckks_vector_from(context, one) for one in ciphertexts]
    for at, one in enumerate(vectors):
        for other in vectors[at + 1 :]:
            yield one.dot(other).serialize()
