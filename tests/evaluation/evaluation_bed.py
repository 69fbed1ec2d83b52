"""A network of one matrix and clients with planted labels, small enough to work out by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from disue.core.layout import Entry, Layout


class Linear:
    """logits = x Wᵀ + b; the vector is W, then b, then a body that changes nothing. Counts its passes."""

    input_kind = "vector"

    def __init__(self, classes: int, features: int, body: int = 0) -> None:
        entries = (Entry("w", (classes, features)), Entry("b", (classes,)), Entry("body", (body,)))
        self.layout = Layout(entries, "w", "b")
        self.input_shape = (features,)
        self.passes: list[int] = []

    def logits(self, vector, inputs):
        self.passes.append(len(inputs))
        weight, bias = self.layout.head(vector)
        return (inputs @ weight.T + bias).astype(np.float32)

    def features(self, vector, inputs):
        return inputs

    def both(self, vector, inputs):
        return self.logits(vector, inputs), inputs


def constant(network: Linear, *bias: float) -> np.ndarray:
    """A model that answers the same for every input: its logits are the bias."""
    out = np.zeros(network.layout.d, np.float32)
    network.layout.head(out)[1][...] = bias
    return out


@dataclass
class Bed:
    """Clients by id with label counts, one pool per key, and own samples."""

    x: np.ndarray
    y: np.ndarray
    counts: dict[int, list[int]]
    local_test: str = "proportional"
    own: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    keys: dict[int, int] = field(default_factory=dict)  # client → how far its labels are shifted

    @property
    def classes(self):
        return len(next(iter(self.counts.values())))

    def transform_key(self, client):
        return self.keys.get(client, 0)

    def pool(self, key, *, on):
        return self.x, (self.y + key) % self.classes

    def label_counts(self, client):
        return np.array(self.counts[client], np.int64)

    def held(self, client):
        return self.own[client]

    natural_test = validation_of = held
