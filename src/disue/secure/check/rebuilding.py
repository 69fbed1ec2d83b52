"""4: what of an update can be computed from its sketch? With the seed k of its d dimensions, without it nothing."""

from __future__ import annotations

import numpy as np

from disue.core.checks import Float64, Vector
from disue.core.streams import Streams
from disue.secure.check.row import Row, keys
from disue.secure.client.normals import gaussian
from disue.secure.client.sketch import Sketcher
from disue.secure.client.sketch import Streams as Keys
from disue.secure.wire.stream import words

K, M = 256, 4096


class Opened:
    """The map from update to sketch as somebody has it who holds the seed: A = Gaussian · CountSketch, (k, d)."""

    def __init__(self, held: Keys, d: int, k: int, m: int) -> None:
        drawn = np.concatenate([block.copy() for block in words(held.countsketch, d, "<u4", 1 << 16)])
        self.bucket = (drawn & np.uint32(m - 1)).astype(np.intp)
        self.sign = np.where(drawn & np.uint32(m), -1.0, 1.0)
        self.matrix = gaussian(held.gaussian, held.extra, k, m)
        fill = np.bincount(self.bucket, minlength=m).astype(np.float64)  # CountSketch · its transpose is diagonal
        self.inverse = np.linalg.pinv((self.matrix * fill) @ self.matrix.T)

    def least(self, sketch: Float64) -> Float64:
        """(d,) the shortest update that has this sketch, up to its length: the best linear estimate."""
        return np.asarray((self.matrix.T @ (self.inverse @ sketch))[self.bucket] * self.sign, np.float64)


def rebuilding(streams: Streams, quick: bool = False) -> list[Row]:
    d, clients = (20_000, 5) if quick else (62_006, 10)
    updates = streams("rebuilding").normal(size=(clients, d)).astype(np.float32)
    right = keys(streams, 10)
    sketcher = Sketcher(right, K, M)
    sketches = [sketcher.sketch(update).astype(np.float64) for update in updates]
    found = {}
    for name, held in (("with", right), ("without", keys(streams, 11))):
        opened = Opened(held, d, K, M)
        pairs = zip(sketches, updates, strict=True)
        found[name] = float(np.mean([cosine(opened.least(sketch), update) for sketch, update in pairs]))
    most, want = 4 / np.sqrt(d * clients), np.sqrt(K / d)
    return [
        Row("4", "linear reconstruction of an update: cosine", found["without"], f"within ±{most:.4f}",
            abs(found["without"]) <= most,
            "seed known", found["with"], f"{want:.3f} ± 10 %", abs(found["with"] / want - 1) <= 0.1)
    ]  # fmt: skip


def cosine(one: Float64, other: Vector | Float64) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
