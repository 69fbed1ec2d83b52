"""All clients with their data: what each trains on, what is held back, and the pools for evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np

from disue.core.checks import Array, IntMatrix, IntVector, Mask, frozen
from disue.core.errors import UserError, unknown
from disue.core.streams import Streams
from disue.data.dataset import Dataset
from disue.data.partition import Partition, Transform
from disue.data.ragged import Ragged
from disue.data.statistics import count_table

LocalTest: TypeAlias = Literal["proportional", "split", "both", "natural", "global"]
Own: TypeAlias = Literal["held", "validation", "natural"]
Pair: TypeAlias = tuple[Array, IntVector]
VALIDATION_SHARE = 0.1
SPLIT_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class Federation:
    """Clients by id over one data set and one partition. Rows are converted when asked for, never all at once.

    validation: keep a tenth of each client's training data aside (stream "validation"), for choosing defaults.
    local_test: "split" and "both" hold a quarter of each client's data out as its test (stream "split"), at
    least one sample; "natural" uses the data set's own test rows of the client. public: take this share of each
    client's training data from it (stream "public"), as inputs that the server owns. Split comes first, then
    validation, so that each is the same with and without those behind it. Raises `UserError` where a client is
    left without data.
    """

    dataset: Dataset
    partition: Partition
    streams: Streams
    validation: bool = False
    local_test: LocalTest = "proportional"
    public: float = 0.0
    _train: Ragged = field(init=False, repr=False)
    _held: Ragged | None = field(init=False, repr=False, default=None)
    _validation: Ragged | None = field(init=False, repr=False, default=None)
    _public: Ragged | None = field(init=False, repr=False, default=None)
    _natural: Ragged | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if self.local_test not in get_args(LocalTest):
            raise unknown("evaluate.local_test", str(self.local_test), get_args(LocalTest))
        self.partition.fits(self.dataset.y_train)
        self._check_transforms()
        set_ = object.__setattr__
        set_(self, "_train", self.partition.owned)
        if self.local_test in ("split", "both"):
            small = self.ids[self.sizes < 2]
            if small.size:
                raise UserError(
                    f'client {small[0]} has one sample: local_test = "{self.local_test}" needs two',
                    key="evaluate.local_test",
                    found=int(small[0]),
                )
            self._aside("_held", "split", SPLIT_SHARE, 1)
        if self.validation:
            self._aside("_validation", "validation", VALIDATION_SHARE, 0)
            if self._validation is not None and not self._validation.rows.size:
                raise UserError(
                    f"evaluate.on: a tenth of a client's samples is kept for validation, and none of the "
                    f"{self.ids.size} clients has enough for one; take fewer clients",
                    key="evaluate.on",
                    found="validation",
                )
        if self.public > 0:
            self._aside("_public", "public", self.public, 0)
        if self.local_test == "natural":
            set_(self, "_natural", self._own_tests())

    def _aside(self, name: str, stream: str, share: float, least: int) -> None:
        """Takes a share of every client's training rows aside, drawn from the client's own stream."""
        train, aside = [], []
        for at, client in enumerate(self.ids.tolist()):
            kept, out = _divide(self._train.at(at), self.dataset.y_train, share, self.streams(stream, client), least)
            train.append(kept)
            aside.append(out)
        object.__setattr__(self, "_train", Ragged.of(train))
        object.__setattr__(self, name, Ragged.of(aside))

    def _check_transforms(self) -> None:
        turns, maps = self.partition.turns, self.partition.label_maps
        shape = self.dataset.shape
        if turns is not None and (turns % 4).any() and (self.dataset.kind != "image" or shape[1] != shape[2]):
            raise UserError(
                f"partition: rotation needs square images, not {self.dataset.kind} of shape {shape}",
                key="partition.kind",
                found=shape,
            )
        if maps is not None and maps.shape[1] != self.dataset.classes:
            raise UserError(f"partition: label_maps are for {maps.shape[1]} classes, not {self.dataset.classes}")

    def _own_tests(self) -> Ragged:
        owners = self.dataset.client_test
        if owners is None or self.partition.kind != "natural":
            why = "has no client_test" if owners is None else f"is partitioned by {self.partition.kind}"
            raise UserError(
                f'local_test = "natural": {self.dataset.name} {why}; use "proportional" or "split"',
                key="evaluate.local_test",
            )
        out = Ragged.owned(owners, self.ids)
        empty = self.ids[out.lengths == 0]
        if empty.size:
            raise UserError(
                f'client {empty[0]} has no test samples of its own: use local_test = "split"',
                key="evaluate.local_test",
                found=int(empty[0]),
            )
        return out

    @property
    def ids(self) -> IntVector:
        """All client ids, (clients,) int64, in the partition's order."""
        return frozen(self.partition.ids)

    @property
    def sizes(self) -> IntVector:
        """Training samples of every client, (clients,), in the order of `ids`."""
        return self._train.lengths

    def sizes_of(self, clients: IntVector) -> IntVector:
        """Training samples of these clients, (n,)."""
        return self.sizes[self.partition.places(clients)]

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return self.dataset.classes

    def size(self, client: int) -> int:
        """Training samples of one client."""
        return int(self.rows(client).size)

    def rows(self, client: int) -> IntVector:
        """The rows of the training set that this client really trains on, read-only."""
        return self._train.at(self.partition.place(client))

    def train(self, client: int) -> Pair:
        """x (n, …) float32 (text int64), normalised and transformed; y (n,) int64, transformed."""
        return self._pair(self.rows(client), self.transform_key(client))

    def label_counts(self, client: int) -> IntVector:
        """Samples by label of what the client really trains on (labels as it sees them), (classes,) int64."""
        y = _relabel(self.dataset.y_train[self.rows(client)], self.transform_key(client))
        return np.bincount(y, minlength=self.classes).astype(np.int64)

    def label_table(self, clients: IntVector) -> IntMatrix:
        """`label_counts` of these clients, (n, classes)."""
        at = self.partition.places(clients)
        rows, lengths = self._train.many(at)
        return count_table(lengths, self._named(rows, np.repeat(at, lengths)), self.classes)

    def _named(self, rows: IntVector, owners: IntVector) -> IntVector:
        """Labels of training rows as the clients at positions `owners` see them."""
        y, maps = self.dataset.y_train[rows], self.partition.label_maps
        return y if maps is None else maps[owners, y]

    def held(self, client: int) -> Pair:
        """The client's own held-out test data (local_test "split" or "both")."""
        return self._pair(self._own("held").at(self.partition.place(client)), self.transform_key(client))

    def validation_of(self, client: int) -> Pair:
        """The client's validation data; may be empty where a client has very few samples."""
        return self._pair(self._own("validation").at(self.partition.place(client)), self.transform_key(client))

    def natural_test(self, client: int) -> Pair:
        """The data set's own test samples of this client (local_test "natural")."""
        rows = self._own("natural").at(self.partition.place(client))
        return self._pair(rows, self.transform_key(client), test=True)

    def public_inputs(self) -> Array:
        """What `public` took from the clients, without labels, (n, …) as they see it, in the order of ids."""
        taken = self._public
        if taken is None:
            return self._pair(self.ids[:0], Transform())[0]
        clients = sorted((client, at) for at, client in enumerate(self.ids.tolist()))
        return np.concatenate([self._pair(taken.at(at), self.transform_key(client))[0] for client, at in clients])

    def own_sizes(self, clients: IntVector, kind: Own) -> IntVector:
        """Own test samples of these clients, (n,): held out, kept for validation, or the data set's own."""
        return self._own(kind).lengths[self.partition.places(clients)]

    def own_tests(self, clients: IntVector, kind: Own) -> Pair:
        """Their samples one client after the other: what `held` … give, client by client."""
        at = self.partition.places(clients)
        rows, lengths = self._own(kind).many(at)
        keys, which = self.partition.alike
        if len(keys) == 1:
            return self._pair(rows, keys[0], test=kind == "natural")
        owners = which[np.repeat(at, lengths)]
        x, y = self._pair(rows, keys[0], test=kind == "natural")
        for k, key in enumerate(keys[1:], start=1):
            mine = owners == k
            x[mine], y[mine] = self._pair(rows[mine], key, test=kind == "natural")
        return x, y

    def _own(self, kind: Own) -> Ragged:
        found: Ragged | None = getattr(self, f"_{kind}")
        if found is None and kind == "validation":
            raise UserError('no validation data is kept: set evaluate.on = "validation"', key="evaluate.on")
        if found is None:
            lacks = 'holds no client data out; use "split" or "both"' if kind == "held" else "has no natural test data"
            raise UserError(f'local_test = "{self.local_test}" {lacks}', key="evaluate.local_test")
        return found

    def transform_key(self, client: int) -> Transform:
        """What is done to this client's data: a hashable key for `pool`."""
        return self.partition.transform(client)

    @property
    def transform_keys(self) -> tuple[Transform, ...]:
        """The different transforms in this federation, in order of first appearance."""
        return self.partition.alike[0]

    def by_transform(self, clients: IntVector) -> list[tuple[Transform, IntVector]]:
        """The transforms of these clients in order of first appearance, each with its positions in `clients`."""
        keys, which = self.partition.alike
        here = which[self.partition.places(clients)]
        found, first = np.unique(here, return_index=True)
        return [(keys[k], np.flatnonzero(here == k)) for k in found[np.argsort(first)].tolist()]

    def pool(self, key: Transform = Transform(), *, on: Literal["test", "validation"] = "test") -> Pair:
        """The evaluation pool under a transform: the official test set, or all clients' validation rows; of a mixed
        set what is of the transform's source."""
        if on == "test":
            return self._pair(
                _of_source(self.dataset.source_test, np.arange(len(self.dataset.y_test)), key), key, test=True
            )
        if on != "validation":
            raise unknown("evaluate.on", str(on), ("test", "validation"))
        if not self.validation:
            raise UserError(
                "no validation data is kept: build the federation with validation = true", key="evaluate.on"
            )
        return self._pair(_of_source(self.dataset.source_train, np.unique(self._own("validation").rows), key), key)

    def truth(self, client: int) -> int | None:
        """The planted group of a client, or None where nothing was planted."""
        found = self.partition.truth
        at = self.partition.place(client)
        return None if found is None else int(found[at])

    def _pair(self, rows: IntVector, key: Transform, *, test: bool = False) -> Pair:
        data = self.dataset
        x, y = (data.x_test, data.y_test) if test else (data.x_train, data.y_train)
        picked = x[rows]
        if key.turns % 4:
            picked = np.rot90(picked, key.turns, axes=(-2, -1))
        return np.ascontiguousarray(data.inputs(picked)), _relabel(y[rows], key)


def _of_source(sources: IntVector | None, rows: IntVector, key: Transform) -> IntVector:
    return rows if sources is None or key.source is None else rows[sources[rows] == key.source]


def _relabel(y: IntVector, key: Transform) -> IntVector:
    return y if key.labels is None else np.asarray(key.labels, np.int64)[y]


def _divide(
    rows: IntVector, labels: IntVector, share: float, rng: np.random.Generator, least: int
) -> tuple[IntVector, IntVector]:
    """(kept, held): `held` is a stratified share of the rows; at least one row stays kept."""
    held = stratified(labels[rows], share, rng, least)
    return rows[~held], rows[held]


def stratified(labels: IntVector, share: float, rng: np.random.Generator, least: int = 0) -> Mask:
    """(n,) bool: round(share · n) rows, at least `least` and at most n − 1, spread over the labels.

    Each label gives ⌊share · its count⌋; what is missing goes one each to the largest remainders, ties drawn.
    """
    n = len(labels)
    total = min(max(int(np.floor(share * n + 0.5)), least), n - 1)
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    exact = counts * (total / n)
    quota = np.floor(exact + 1e-9).astype(np.int64)
    order = np.lexsort((rng.random(len(counts)), np.round(quota - exact, 9)))
    quota[order[: total - int(quota.sum())]] += 1
    mixed = rng.permutation(n)
    by_label = mixed[np.argsort(inverse[mixed], kind="stable")]
    rank = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    out = np.zeros(n, bool)
    out[by_label[rank < np.repeat(quota, counts)]] = True
    return out
