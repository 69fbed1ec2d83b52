"""Shamir's secret sharing over GF(2^256 + 297): any `threshold` of the shares give the secret, fewer say nothing.

A secret of 32 bytes is an integer, little-endian; a share is the value of a random polynomial at its holder's
position + 1, 33 bytes, little-endian. The prime is the smallest above 2^256, so that every 32 bytes are a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from disue.secure.wire.names import BadShares

PRIME = 2**256 + 297
SECRET = 32
SHARE = 33

Random = Callable[[int], bytes]


def split(secret: bytes, holders: int, threshold: int, random: Random) -> list[bytes]:
    """The share of each holder, in the order of the holders; `random` gives that many random bytes."""
    if len(secret) != SECRET:
        raise ValueError(f"a secret has {SECRET} bytes, got {len(secret)}")
    values = Field(PRIME).split(int.from_bytes(secret, "little"), holders, threshold, random)
    return [value.to_bytes(SHARE, "little") for value in values]


def combine(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """The secret (32 bytes) from {position of the holder, from 0: share}; the lowest `threshold` positions are taken.

    `BadShares` where there are too few, or where no secret has these shares (whose it is, the caller knows). False
    shares mostly give a false secret instead: the caller holds it against its public half and tries other subsets.
    """
    chosen = sorted(shares)[:threshold]
    if len(chosen) < threshold:
        raise BadShares()
    values = {}
    for position in chosen:
        value = int.from_bytes(shares[position], "little")
        if len(shares[position]) != SHARE or value >= PRIME:
            raise BadShares()
        values[position] = value
    secret = Field(PRIME).combine(values)
    if secret >= 2 ** (8 * SECRET):
        raise BadShares()
    return secret.to_bytes(SECRET, "little")


@dataclass(frozen=True)
class Field:
    """The integers modulo a prime: small ones are for tests that try every polynomial."""

    prime: int

    def draw(self, random: Random) -> int:
        """A uniform element, by rejection."""
        size = (self.prime.bit_length() + 7) // 8
        mask = (1 << self.prime.bit_length()) - 1
        while (value := int.from_bytes(random(size), "little") & mask) >= self.prime:
            pass
        return value

    def split(self, secret: int, holders: int, threshold: int, random: Random) -> list[int]:
        if not 1 <= threshold <= holders < self.prime:
            raise ValueError(f"1 ≤ threshold ≤ holders < prime, got {threshold} of {holders}")
        return self.values([secret, *(self.draw(random) for _ in range(threshold - 1))], holders)

    def values(self, coefficients: list[int], holders: int) -> list[int]:
        """The polynomial (constant first) at 1 … holders."""
        out = []
        for point in range(1, holders + 1):
            value = 0
            for coefficient in reversed(coefficients):
                value = (value * point + coefficient) % self.prime
            out.append(value)
        return out

    def combine(self, values: Mapping[int, int]) -> int:
        """The polynomial at 0 from {position: value at position + 1}."""
        weights = lagrange(tuple(values), self.prime)
        return sum(weight * value for weight, value in zip(weights, values.values(), strict=True)) % self.prime


@lru_cache(maxsize=64)
def lagrange(positions: tuple[int, ...], prime: int = PRIME) -> tuple[int, ...]:
    """What each holder's value counts at 0. All secrets of a sum have the same answerers, so it is kept."""
    points = [position + 1 for position in positions]
    out = []
    for own in points:
        above, below = 1, 1
        for other in points:
            if other != own:
                above = above * other % prime
                below = below * (other - own) % prime
        out.append(above * pow(below, -1, prime) % prime)
    return tuple(out)
