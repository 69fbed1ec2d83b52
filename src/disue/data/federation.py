"""All clients with their data: what each trains on, what is held back, and the pools for evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np

from disue.core.checks import Array, IntVector, Mask, frozen
from disue.core.errors import UserError, unknown
from disue.core.streams import Streams
from disue.data.dataset import Dataset
from disue.data.partition import Partition, Transform

LocalTest: TypeAlias = Literal["proportional", "split", "both", "natural", "global"]
Pair: TypeAlias = tuple[Array, IntVector]
VALIDATION_SHARE = 0.1
SPLIT_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class Federation:
    """Clients by id over one data set and one partition. Rows are converted when asked for, never all at once.

    validation: keep a tenth of each client's training data aside (stream "validation"), for choosing defaults.
    local_test: "split" and "both" hold a quarter of each client's data out as its test (stream "split"), at
    least one sample; "natural" uses the data set's own test rows of the client. Split comes first, so that
    it is the same with and without validation. Raises `UserError` where a client is left without data.
    """

    dataset: Dataset
    partition: Partition
    streams: Streams
    validation: bool = False
    local_test: LocalTest = "proportional"
    _train: dict[int, IntVector] = field(init=False, repr=False)
    _held: dict[int, IntVector] = field(init=False, repr=False)
    _validation: dict[int, IntVector] = field(init=False, repr=False)
    _natural: dict[int, IntVector] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.local_test not in get_args(LocalTest):
            raise unknown("evaluate.local_test", str(self.local_test), get_args(LocalTest))
        self.partition.fits(self.dataset.y_train)
        self._check_transforms()
        train, held, kept = {}, {}, {}
        for client in self.ids.tolist():
            rows = self.partition.rows(client)
            if not rows.size:
                raise UserError(f"client {client} has no samples", key="partition", found=client)
            if self.local_test in ("split", "both"):
                if rows.size < 2:
                    raise UserError(
                        f'client {client} has one sample: local_test = "{self.local_test}" needs two',
                        key="evaluate.local_test",
                        found=client,
                    )
                rows, held[client] = _divide(rows, self.dataset.y_train, SPLIT_SHARE, self.streams("split", client), 1)
            if self.validation:
                rows, kept[client] = _divide(
                    rows, self.dataset.y_train, VALIDATION_SHARE, self.streams("validation", client), 0
                )
            train[client] = rows
        if self.validation and not any(part.size for part in kept.values()):
            raise UserError(
                f"evaluate.on: a tenth of a client's samples is kept for validation, and none of the {len(train)} "
                "clients has enough for one; take fewer clients",
                key="evaluate.on",
                found="validation",
            )
        set_ = object.__setattr__
        set_(self, "_train", train)
        set_(self, "_held", held)
        set_(self, "_validation", kept)
        set_(self, "_natural", self._own_tests() if self.local_test == "natural" else {})

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

    def _own_tests(self) -> dict[int, IntVector]:
        owners = self.dataset.client_test
        if owners is None or self.partition.kind != "natural":
            why = "has no client_test" if owners is None else f"is partitioned by {self.partition.kind}"
            raise UserError(
                f'local_test = "natural": {self.dataset.name} {why}; use "proportional" or "split"',
                key="evaluate.local_test",
            )
        out = {client: np.flatnonzero(owners == client) for client in self.ids.tolist()}
        empty = next((client for client, rows in out.items() if not rows.size), None)
        if empty is not None:
            raise UserError(
                f'client {empty} has no test samples of its own: use local_test = "split"',
                key="evaluate.local_test",
                found=empty,
            )
        return out

    @property
    def ids(self) -> IntVector:
        """All client ids, (clients,) int64, in the partition's order."""
        return frozen(self.partition.ids)

    @property
    def sizes(self) -> IntVector:
        """Training samples of every client, (clients,), in the order of `ids`."""
        return np.array([self._train[i].size for i in self.ids.tolist()], np.int64)

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return self.dataset.classes

    def size(self, client: int) -> int:
        """Training samples of one client."""
        return int(self.rows(client).size)

    def rows(self, client: int) -> IntVector:
        """The rows of the training set that this client really trains on, read-only."""
        return frozen(self._of(self._train, client))

    def train(self, client: int) -> Pair:
        """x (n, …) float32 (text int64), normalised and transformed; y (n,) int64, transformed."""
        return self._pair(self.rows(client), self.transform_key(client))

    def label_counts(self, client: int) -> IntVector:
        """Samples by label of what the client really trains on (labels as it sees them), (classes,) int64."""
        y = _relabel(self.dataset.y_train[self.rows(client)], self.transform_key(client))
        return np.bincount(y, minlength=self.classes).astype(np.int64)

    def held(self, client: int) -> Pair:
        """The client's own held-out test data (local_test "split" or "both")."""
        if not self._held:
            raise UserError(
                f'local_test = "{self.local_test}" holds no client data out; use "split" or "both"',
                key="evaluate.local_test",
            )
        return self._pair(self._of(self._held, client), self.transform_key(client))

    def validation_of(self, client: int) -> Pair:
        """The client's validation data; may be empty where a client has very few samples."""
        if not self.validation:
            raise UserError('no validation data is kept: set evaluate.on = "validation"', key="evaluate.on")
        return self._pair(self._of(self._validation, client), self.transform_key(client))

    def natural_test(self, client: int) -> Pair:
        """The data set's own test samples of this client (local_test "natural")."""
        if not self._natural:
            raise UserError(f'local_test = "{self.local_test}" has no natural test data', key="evaluate.local_test")
        return self._pair(self._of(self._natural, client), self.transform_key(client), test=True)

    def transform_key(self, client: int) -> Transform:
        """What is done to this client's data: a hashable key for `pool`."""
        return self.partition.transform(client)

    @property
    def transform_keys(self) -> tuple[Transform, ...]:
        """The different transforms in this federation, in order of first appearance."""
        return tuple(dict.fromkeys(self.transform_key(i) for i in self.ids.tolist()))

    def pool(self, key: Transform = Transform(), *, on: Literal["test", "validation"] = "test") -> Pair:
        """The evaluation pool under a transform: the official test set, or all clients' validation rows."""
        if on == "test":
            return self._pair(np.arange(len(self.dataset.y_test)), key, test=True)
        if on != "validation":
            raise unknown("evaluate.on", str(on), ("test", "validation"))
        if not self.validation:
            raise UserError(
                "no validation data is kept: build the federation with validation = true", key="evaluate.on"
            )
        return self._pair(np.unique(np.concatenate(list(self._validation.values()))), key)

    def truth(self, client: int) -> int | None:
        """The planted group of a client, or None where nothing was planted."""
        found = self.partition.truth
        at = self.partition.place(client)
        return None if found is None else int(found[at])

    def _of(self, table: dict[int, IntVector], client: int) -> IntVector:
        if int(client) not in table:
            self.partition.place(client)  # raises: the id is not known
        return table[int(client)]

    def _pair(self, rows: IntVector, key: Transform, *, test: bool = False) -> Pair:
        data = self.dataset
        x, y = (data.x_test, data.y_test) if test else (data.x_train, data.y_train)
        picked = x[rows]
        if key.turns % 4:
            picked = np.rot90(picked, key.turns, axes=(-2, -1))
        return np.ascontiguousarray(data.inputs(picked)), _relabel(y[rows], key)


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
