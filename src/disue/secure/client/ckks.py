"""Cosines from encrypted CountSketches, a slow reference for the sketch: exact to rounding, one ciphertext a client.

Clients share one key: the server multiplies what it cannot read, one client decrypts the products and passes on cosines
rounded to 1/1000, since exact results of CKKS tell about its key (Li and Micciancio, EUROCRYPT 2021). The price beside
time is that whoever works for the server and holds the key opens every client's CountSketch, all of it. The library
draws from the system, so a product next to a rounding step (one in ten thousand) may fall on either side of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from disue.core.checks import Float64, Vector
from disue.core.errors import UserError
from disue.secure.client.sketch import Sketcher, Streams
from disue.secure.wire.ckks import SLOTS, library, products

DEGREE, MODULI, SCALE = 8192, (60, 40, 60), 2.0**40
DECIMALS = 3


@dataclass(frozen=True, eq=False)
class Key:
    """The key that all clients of a cohort hold. It is made by the library from the system's randomness."""

    context: Any

    @staticmethod
    def make() -> Key:
        ts = library()
        context = ts.context(ts.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=list(MODULI))
        context.global_scale = SCALE
        context.generate_galois_keys()
        return Key(context)

    @cached_property
    def public(self) -> bytes:
        """What the server gets: enough to multiply and add up, not to open."""
        return bytes(self.context.serialize(save_secret_key=False))

    def encrypt(self, direction: Float64) -> bytes:
        """One ciphertext of a vector of at most 4096 numbers."""
        if direction.size > SLOTS:
            raise UserError(f"m must be ≤ {SLOTS} under CKKS, got {direction.size}", key="m", found=direction.size)
        return bytes(library().ckks_vector(self.context, direction.tolist()).serialize())

    def reveal(self, encrypted: Iterable[bytes], n: int) -> Float64:
        """(n, n) cosines from the products of all pairs, rounded."""
        ts = library()
        found = [ts.ckks_vector_from(self.context, one).decrypt()[0] for one in encrypted]
        out = np.eye(n)
        out[np.triu_indices(n, 1)] = np.clip(np.round(found, DECIMALS), -1, 1)
        return np.asarray(np.triu(out, 1) + np.triu(out).T, np.float64)


def cosines(updates: Sequence[Vector], streams: Streams, m: int = SLOTS) -> Float64:
    """(n, n) as the server gets them, all parts played here; m buckets, at most 4096."""
    key = Key.make()
    sketcher = Sketcher(streams, 1, m)
    sent = [key.encrypt(sketcher.direction(update)) for update in updates]
    return key.reveal(products(key.public, sent), len(sent))
