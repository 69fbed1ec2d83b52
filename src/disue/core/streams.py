"""Named randomness: every draw of a run comes from a stream keyed by (seed, name, numbers).

There is no global generator. The same key gives the same bits whatever was drawn before, in whatever
process, so that the order of answers, the number of workers and the hash seed cannot change a result.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Streams:
    """`streams("batches", round, client)` is a numpy generator of its own for these words.

    >>> a, b = Streams(0)("cohort", 3), Streams(0)("cohort", 3)
    >>> bool((a.random(5) == b.random(5)).all())
    True
    """

    seed: int

    def key(self, name: str, *numbers: int) -> int:
        """128 bits made of the seed, the name and the numbers (any integers, also negative)."""
        words = "/".join([str(int(self.seed)), name, *(str(int(n)) for n in numbers)])
        return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=16).digest(), "little")

    def __call__(self, name: str, *numbers: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=self.key(name, *numbers)))

    def torch_seed(self, name: str, *numbers: int) -> int:
        """A seed for a `torch.Generator` (63 bits), for draws that must happen on torch tensors."""
        return self.key(name, *numbers) >> 65
