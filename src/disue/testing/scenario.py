"""A small federation in memory: eight clients whose ids are no positions, two planted groups, a few rounds.

Everything is drawn from streams keyed by a client's own number, so what a client holds does not depend on the place
or on the name that it has: `turned` moves the clients to other places, `renamed` gives them other names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from disue.core.streams import Streams
from disue.data import Dataset, Partition
from disue.data.partition import assemble

# Five digits each and in no order: no position, no count and no round can be taken for one of them.
IDS = (70_021, 10_007, 90_533, 20_011, 60_089, 31_013, 80_099, 45_007)
SIZES = (5, 9, 12, 7, 14, 4, 10, 6)
LABELS = ("planted", "pure", "one")


@dataclass(frozen=True)
class Scenario:
    """What a check runs a method on.

    ids, sizes   the clients in the order of their places, and how many samples each has
    rounds       how many are played                  share    of the clients asked in a round
    dropout      probability that a client who is asked does not answer
    labels       "planted": two groups that name the classes differently, each client with some classes;
                 "pure": one class a client; "one": one class in all
    alike        all clients hold the same samples under the same labels (as many as the first)
    shape, classes, model   of the data and the network; `model` is a spec's [model]
    epochs, batch, lr       of local training, where the local part has such settings
    names        old id → new id, in the same order; the streams stay with the client
    seed         of everything that is drawn
    """

    ids: tuple[int, ...] = IDS
    sizes: tuple[int, ...] = SIZES
    rounds: int = 3
    share: float = 0.75
    dropout: float = 0.0
    labels: str = "planted"
    alike: bool = False
    shape: tuple[int, ...] = (1, 4, 4)
    classes: int = 4
    model: Mapping[str, Any] = field(default_factory=lambda: {"name": "mlp", "hidden": [8]})
    epochs: int = 2
    batch: int = 4
    lr: float = 0.1
    names: Mapping[int, int] = field(default_factory=dict)
    seed: int = 0

    def few(self, count: int, **changes: Any) -> Scenario:
        """The first clients only."""
        return replace(self, ids=self.ids[:count], sizes=self.sizes[:count], **changes)

    def turned(self) -> Scenario:
        """The same clients at other places."""
        order = Streams(self.seed)("conformance-places").permutation(len(self.ids))
        return replace(self, ids=tuple(self.ids[i] for i in order), sizes=tuple(self.sizes[i] for i in order))

    def renamed(self) -> Scenario:
        """The same clients under other names, in the same order."""
        return replace(self, names={old: 2_000_003 + 104_729 * at for at, old in enumerate(sorted(self.ids))})

    def tables(self) -> dict[str, Any]:
        """A spec of a run on it, without method and local part."""
        return {
            "seed": self.seed,
            "rounds": self.rounds,
            "cohort": {"share": self.share, "dropout": self.dropout},
            "model": dict(self.model),
        }

    def streams(self) -> Streams:
        return Renamed(self.seed, tuple(self.names.items())) if self.names else Streams(self.seed)

    def data(self) -> tuple[Dataset, Partition]:
        """The data set and who has which rows of it."""
        dataset, rows = _samples(self.shape, self.classes, self.labels, self.alike, self.seed, self._clients())
        group = {client: at % 2 for at, client in enumerate(sorted(self.ids))}
        shift = self.classes // 2 if self.labels == "planted" and not self.alike else 0
        maps = [(np.arange(self.classes) + shift * group[i]) % self.classes for i in self.ids]
        partition = assemble(
            dataset.y_train,
            [rows[i] for i in self.ids],
            "conformance",
            {},
            ids=np.array([self.names.get(i, i) for i in self.ids], np.int64),
            truth=np.array([group[i] for i in self.ids], np.int64),
            label_maps=np.array(maps, np.int64),
        )
        return dataset, partition

    def _clients(self) -> tuple[tuple[int, int], ...]:
        sizes = self.sizes[:1] * len(self.sizes) if self.alike else self.sizes
        return tuple(sorted(zip(self.ids, sizes, strict=True)))


@lru_cache(64)
def _samples(
    shape: tuple[int, ...], classes: int, labels: str, alike: bool, seed: int, clients: tuple[tuple[int, int], ...]
) -> tuple[Dataset, dict[int, np.ndarray[Any, Any]]]:
    """(data set, rows by id). Rows follow the order of ids, whatever the places."""
    if labels not in LABELS:
        raise ValueError(f"labels must be one of {LABELS}, got {labels!r}")
    streams = Streams(seed)
    centres = streams("conformance-centres").normal(size=(classes, *shape))
    x, y, rows = [], [], {}
    at = 0
    for place, (client, size) in enumerate(clients):
        rng = streams("conformance-data", clients[0][0] if alike else client)
        pure = np.full(size, place % classes)
        some = rng.choice(classes, size, p=rng.dirichlet(np.full(classes, 0.7)))
        found = {"planted": some, "pure": pure, "one": np.zeros(size, np.int64)}[labels]
        x.append(centres[found] + 0.7 * rng.normal(size=(size, *shape)))
        y.append(found)
        rows[client] = np.arange(at, at + size)
        at += size
    test = np.arange(8 * classes) % classes
    x_test = centres[test] + 0.7 * streams("conformance-test").normal(size=(test.size, *shape))
    dataset = Dataset(
        "conformance",
        np.concatenate(x).astype(np.float32),
        np.concatenate(y).astype(np.int64),
        x_test.astype(np.float32),
        test.astype(np.int64),
        classes,
        "image" if len(shape) == 3 else "vector",
    )
    return dataset, rows


@dataclass(frozen=True)
class Renamed(Streams):
    """Gives a renamed client the streams of its old name: a name decides what is drawn, and nothing else may."""

    names: tuple[tuple[int, int], ...] = ()

    def key(self, name: str, *numbers: int) -> int:
        old = {new: before for before, new in self.names}
        return super().key(name, *(old.get(int(n), int(n)) for n in numbers))
