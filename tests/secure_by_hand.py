"""The formats of `disue.secure` a second time, number by number in plain Python, and the golden files made of them.

Key streams come from AES on counter blocks one at a time, HKDF from HMAC, sharing from fractions of integers. The files
under `golden/secure/v1` are frozen: `python tests/secure_by_hand.py` writes those that are missing and no other.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

GOLDEN = Path(__file__).parent / "golden" / "secure" / "v1"
PRIME = 2**256 + 297
STREAMS = ("countsketch", "gaussian", "gaussian-extra")
R = 3.6541528853610088


def key(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def stream(secret: bytes) -> Iterator[int]:
    """The bytes of AES-256 on 0, 1, 2 … as blocks of 16 bytes, the counter big-endian."""
    cipher = Cipher(algorithms.AES(secret), modes.ECB()).encryptor()
    count = 0
    while True:
        yield from cipher.update(count.to_bytes(16, "big"))
        count += 1


def words(secret: bytes, size: int) -> Iterator[int]:
    given = stream(secret)
    while True:
        yield int.from_bytes(bytes(next(given) for _ in range(size)), "little")


def hkdf(ikm: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, one block out."""
    return hmac.new(hmac.new(salt, ikm, "sha256").digest(), info + b"\x01", "sha256").digest()


def buckets(secret: bytes, d: int, m: int) -> list[tuple[int, int]]:
    """(bucket, sign) of each coordinate."""
    given = words(secret, 4)
    return [(word % m, -1 if word // m % 2 else 1) for word in (next(given) for _ in range(d))]


def layers() -> tuple[list[float], list[float]]:
    top = math.exp(-R * R / 2)
    area = R * top + math.sqrt(math.pi / 2) * math.erfc(R / math.sqrt(2))
    edges, heights = [area / top, R], [0.0, top]
    while len(edges) < 256:
        heights.append(heights[-1] + area / edges[-1])
        edges.append(math.sqrt(-2 * math.log(heights[-1])))
    return [*edges, 0.0], [*heights, 1.0]


def normals(secret: bytes, extra: bytes, count: int, block: int = 32768) -> tuple[list[float], list[str]]:
    """The draws, and how each was made."""
    edges, heights = layers()
    given, more = words(secret, 8), words(extra, 8)
    uniform = lambda: (next(more) >> 11) / 2**53  # noqa: E731
    out, how = [], []
    for start in range(0, count, block):
        drawn = [next(given) for _ in range(min(block, count - start))]
        slow, tails = [], []
        for at, word in enumerate(drawn):
            layer = word % 256
            x = (word >> 11) * edges[layer] / 2**53
            out.append(-x if word & 256 else x)
            how.append("fast" if x < edges[layer + 1] else "slow")
            if how[-1] == "slow":
                slow.append((start + at, layer))
        for at, layer in slow:
            a, b, c, _ = (uniform() for _ in range(4))
            if layer == 0:
                tails.append(at)
                how[at] = "tail"
            elif heights[layer] + a * (heights[layer + 1] - heights[layer]) < math.exp(-(out[at] ** 2) / 2):
                how[at] = "wedge"
            else:
                out[at] = math.sqrt(-2 * math.log1p(-b)) * math.cos(2 * math.pi * c)
                how[at] = "anew"
        for at in tails:
            s, depth = 1.0, 0.0
            while depth <= s * s:
                s, depth = -math.log1p(-uniform()) / R, -2 * math.log1p(-uniform())
            out[at] = math.copysign(R + s, out[at])
    return out, how


def sketch(update: list[float], secrets: list[bytes], k: int, m: int) -> list[int]:
    bucketed = [0.0] * m
    for value, (bucket, sign) in zip(update, buckets(secrets[0], len(update), m), strict=True):
        bucketed[bucket] += sign * value
    length = math.sqrt(math.fsum(value * value for value in bucketed))
    matrix = normals(secrets[1], secrets[2], k * m)[0]
    rows = [matrix[row * m : (row + 1) * m] for row in range(k)]
    seen = [math.fsum(g * v for g, v in zip(row, bucketed, strict=True)) / length for row in rows]
    return [max(-32767, min(32767, round(4096 * y))) for y in seen]


def masked(vectors: list[list[int]], selfs: list[bytes], pairs: dict[tuple[int, int], bytes]) -> list[list[int]]:
    def first(secret: bytes) -> list[int]:
        given = words(secret, 8)
        return [next(given) for _ in vectors[0]]

    out = []
    for me, vector in enumerate(vectors):
        total = [x + s for x, s in zip(vector, first(selfs[me]), strict=True)]
        for (low, high), secret in pairs.items():
            if me in (low, high):
                total = [t + (1 if me == low else -1) * s for t, s in zip(total, first(secret), strict=True)]
        out.append([value % 2**64 for value in total])
    return out


def shares(coefficients: list[int], holders: int) -> list[int]:
    return [sum(c * x**power for power, c in enumerate(coefficients)) % PRIME for x in range(1, holders + 1)]


def fixed(value: float, bits: int) -> int:
    """Python rounds halves to even, and knows no bounds."""
    return round(value * 2**bits) % 2**64


def derived() -> list[dict[str, str]]:
    """Each derivation with its input, salt and info spelt out."""
    ikm, ctx, salt = key("ikm"), key("context"), key("salt")[:16]
    u32 = lambda *values: b"".join(value.to_bytes(4, "little") for value in values)  # noqa: E731
    rows = [
        ("seed box", ikm, salt, b"disue/1/box-seed\0" + ctx + u32(3, 20)),
        ("share box", ikm, salt, b"disue/1/box-share\0" + ctx + u32(3, 20)),
        ("round seed", key("z 3") + key("z 8") + key("z 20"), ctx, b"disue/1/sketch-seed\0" + u32(3, 3, 8, 20)),
        *((name, ikm, ctx, f"disue/1/{name}\0".encode() + u32(1)) for name in STREAMS),
        ("confirmation", ikm, ctx, b"disue/1/seed-confirm\0"),
        ("pair mask", ikm, ctx, b"disue/1/mask-pair\0" + u32(3, 20)),
        ("self mask", ikm, ctx, b"disue/1/mask-self\0" + u32(20)),
    ]
    names = ("name", "ikm", "salt", "info", "out")
    return [
        dict(zip(names, (name, ikm.hex(), salt.hex(), info.hex(), hkdf(ikm, salt, info).hex()), strict=True))
        for name, ikm, salt, info in rows
    ]


def golden() -> dict[str, Any]:
    """file → what it holds."""
    streams = [key(name) for name in STREAMS]
    drawn, how = normals(streams[1], streams[2], 40000)
    slow = {kind: [at for at, was in enumerate(how) if was == kind] for kind in ("wedge", "anew", "tail")}
    asked = [*range(16), *(at for kind in slow.values() for at in (*kind[:2], kind[-1])), 32767, 32768]
    vectors = [[5, 2**63, 2**64 - 1, 0, 7], [11, 2**63, 3, 0, 2**64 - 7], [1, 0, 2**64 - 2, 2**32, 0]]
    selfs = [key(f"self {me}") for me in range(3)]
    pairs = {(low, high): key(f"pair {low} {high}") for low, high in ((0, 1), (0, 2), (1, 2))}
    coefficients = [int.from_bytes(key("secret"), "little"), PRIME - 1, *(int.from_bytes(key(f"c{i}")) for i in (2, 3))]
    mask = stream(key("mask"))
    step = 2.0**-33
    edges = [
        (8.0, 32), (-8.0, 32), (0.0, 32), (-0.0, 32), (0.5, 0), (1.5, 0), (2.5, 0), (-0.5, 0), (-2.5, 0), (step, 32),
        (3 * step, 32), (-step, 32), (2 * step, 32), (1 / 3, 32), (2.0**20, 0), (2.0**24, 38), (-(2.0**24), 38),
        (1e-300, 32), (96.0, -5), (2.0**62, 0),
    ]  # fmt: skip
    return {
        "hkdf": derived(),
        "countsketch": {
            "key": streams[0].hex(),
            "m": 64,
            "words": [word for word, _ in zip(words(streams[0], 4), range(8), strict=False)],
            "buckets": [bucket for bucket, _ in buckets(streams[0], 1000, 64)],
            "signs": [sign for _, sign in buckets(streams[0], 1000, 64)],
        },
        "normals": {
            "key": streams[1].hex(),
            "extra": streams[2].hex(),
            "count": 40000,
            "slow": {kind: len(which) for kind, which in slow.items()},
            "draws": [{"at": at, "how": how[at], "value": drawn[at].hex()} for at in asked],
        },
        "sketch": {
            "streams": [one.hex() for one in streams],
            "update": "sin(j), j = 0 ... 4999, as float32",
            "k": 16,
            "m": 256,
            "grid": sketch([_single(math.sin(j)) for j in range(5000)], streams, 16, 256),
        },
        "fixed": [{"value": value.hex(), "bits": bits, "ring": f"{fixed(value, bits):016x}"} for value, bits in edges],
        "masks": {
            "key": key("mask").hex(),
            "stream": bytes(next(mask) for _ in range(40)).hex(),
            "self": [one.hex() for one in selfs],
            "pairs": [{"low": low, "high": high, "key": one.hex()} for (low, high), one in pairs.items()],
            "vectors": [[f"{x:016x}" for x in vector] for vector in vectors],
            "masked": [[f"{x:016x}" for x in vector] for vector in masked(vectors, selfs, pairs)],
            "sum": [f"{sum(column) % 2**64:016x}" for column in zip(*vectors, strict=True)],
        },
        "shamir": {
            "coefficients": [one.to_bytes(33, "little").hex() for one in coefficients],
            "threshold": 4,
            "secret": key("secret").hex(),
            "shares": [one.to_bytes(33, "little").hex() for one in shares(coefficients, 7)],
            "subsets": [[0, 1, 2, 3], [1, 3, 5, 6]],
        },
    }


def _single(value: float) -> float:
    import struct

    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def frozen(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, value in golden().items():
        path = GOLDEN / f"{name}.json"
        if not path.exists():
            path.write_text(json.dumps(value, indent=1) + "\n")
