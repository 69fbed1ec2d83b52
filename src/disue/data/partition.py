"""Who has which training rows: a partition as index arrays, its hash, its statistics and its file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from disue.core.checks import Array, IntMatrix, IntVector, digest, positions
from disue.core.errors import UserError
from disue.core.npz import read_npz
from disue.data.ragged import Ragged
from disue.data.statistics import Statistics, count_table, measure

Parameter: TypeAlias = int | float | str | bool | None
VERSION = 1
_MARK = "disue-partition"


class Transform(NamedTuple):
    """What planted heterogeneity does to a client's data: quarter turns of images, new names for labels.

    source  of a mixed set the one that the client's data is of, on which it is tested; None: all
    """

    turns: int = 0
    labels: tuple[int, ...] | None = None
    source: int | None = None

    @property
    def plain(self) -> bool:
        """Whether nothing is changed."""
        return self == Transform()


@dataclass(frozen=True, eq=False)
class Partition:
    """Training rows by client: ids[j] owns `lengths[j]` entries of `indices`, one client after the other.

    ids, lengths: (clients,) int64; indices: (Σ lengths,) int64 rows of the training set.
    samples: training rows of the data set; data: digest of its labels, against use with another set.
    truth: (clients,) planted group, or None; turns: (clients,) quarter turns, or None;
    label_maps: (clients, classes), the new label of each label, or None; sources: (clients,) of a mixed set, or None.
    """

    ids: IntVector
    lengths: IntVector
    indices: IntVector
    kind: str
    parameters: Mapping[str, Parameter]
    samples: int
    data: str
    stats: Statistics
    truth: IntVector | None = None
    turns: IntVector | None = None
    label_maps: IntMatrix | None = None
    sources: IntVector | None = None
    owned: Ragged = field(init=False, repr=False)  # the rows by position in `ids`
    _order: IntVector = field(init=False, repr=False)

    def __post_init__(self) -> None:
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])
        object.__setattr__(self, "owned", Ragged(self.indices, starts))
        object.__setattr__(self, "_order", np.argsort(self.ids, kind="stable"))
        self._check()

    def _check(self) -> None:
        clients = len(self.ids)
        if clients == 0:
            raise UserError("partition: no client has any samples", key="partition")
        different = np.unique(self.ids).size
        if different != clients or len(self.lengths) != clients:
            raise UserError(f"partition: {clients} ids ({different} different) with {len(self.lengths)} lengths")
        if (self.lengths < 1).any():
            raise UserError(f"partition: client {int(self.ids[self.lengths < 1][0])} has no samples", key="partition")
        total = int(self.owned.starts[-1])
        if total != len(self.indices):
            raise UserError(f"partition: lengths add up to {total}, indices are {len(self.indices)}")
        outside = self.indices[(self.indices < 0) | (self.indices >= self.samples)]
        if outside.size:
            raise UserError(
                f"partition: row {int(outside[0])} is outside the {self.samples:,} training samples", key="rows"
            )
        if not self.parameters.get("copies") and np.unique(self.indices).size != self.indices.size:
            values, counts = np.unique(self.indices, return_counts=True)
            raise UserError(
                f"partition: row {int(values[counts > 1][0])} is dealt {int(counts.max())} times", key="rows"
            )
        for name in ("truth", "turns", "label_maps", "sources"):
            value: Array | None = getattr(self, name)
            if value is not None and (len(value) != clients or value.dtype != np.int64):
                raise UserError(f"partition: {name} is {value.dtype} {value.shape} for {clients} clients", key=name)
        maps = self.label_maps
        if maps is not None and (maps.ndim != 2 or (np.sort(maps, 1) != np.arange(maps.shape[1])).any()):
            raise UserError("partition: label_maps holds a row that is no permutation of the labels", key="label_maps")

    @property
    def hash(self) -> str:
        """SHA-256 of the int64 indices followed by the int64 lengths (little endian), in hexadecimal."""
        raw = self.indices.astype("<i8").tobytes() + self.lengths.astype("<i8").tobytes()
        return hashlib.sha256(raw).hexdigest()

    def place(self, client: int) -> int:
        """The row of client `client` in this partition's arrays; an unknown id is a `UserError`."""
        return int(self.places(np.array([client], np.int64))[0])

    def places(self, clients: IntVector) -> IntVector:
        """`place` of several clients, (n,) int64, by search in the sorted ids."""
        at = np.searchsorted(self.ids, clients, sorter=self._order)
        found = self._order[np.minimum(at, len(self.ids) - 1)]
        if (self.ids[found] != clients).any():
            return positions(clients, self.ids, "client")  # raises: an id is not known
        return found.astype(np.int64)

    def rows(self, client: int) -> IntVector:
        """The training rows of one client, read-only."""
        return self.owned.at(self.place(client))

    def counts(self, labels: IntVector) -> IntMatrix:
        """Samples by client and label as they lie in the files (label maps not applied), (clients, classes)."""
        return count_table(self.lengths, labels[self.indices], int(labels.max()) + 1)

    def transform(self, client: int) -> Transform:
        """What is done to this client's data."""
        at = self.place(client)
        turns = 0 if self.turns is None else int(self.turns[at]) % 4
        names = None if self.label_maps is None else tuple(self.label_maps[at].tolist())
        source = None if self.sources is None else int(self.sources[at])
        return Transform(turns, None if names == tuple(range(len(names or ()))) else names, source)

    @cached_property
    def alike(self) -> tuple[tuple[Transform, ...], IntVector]:
        """The different transforms in order of first appearance, and which of them each client has, (clients,)."""
        n = len(self.ids)
        turns = np.zeros((n, 0), np.int64) if self.turns is None else self.turns[:, None] % 4
        maps = np.zeros((n, 0), np.int64) if self.label_maps is None else self.label_maps
        of = np.zeros((n, 0), np.int64) if self.sources is None else self.sources[:, None]
        table = np.concatenate([turns, maps, of], axis=1)
        if not table.shape[1]:
            return (Transform(),), np.zeros(n, np.int64)
        _, first, which = np.unique(table, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)
        keys = tuple(self.transform(int(self.ids[at])) for at in first[order])
        return keys, np.argsort(order)[which.ravel()].astype(np.int64)

    def fits(self, labels: IntVector) -> None:
        """Refuses a partition that was made for other training labels."""
        if len(labels) != self.samples or digest(labels) != self.data:
            raise UserError(
                f"partition: made for {self.samples:,} training samples with other labels than these "
                f"{len(labels):,}; make it again",
                key="partition",
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a .npz without pickled objects; the file appears whole or not at all."""
        header = {
            "format": _MARK,
            "version": VERSION,
            "kind": self.kind,
            "parameters": dict(self.parameters),
            "samples": self.samples,
            "data": self.data,
            "stats": asdict(self.stats),
            "hash": self.hash,
            "check": digest(*_present(self)),
        }
        arrays = {name: value for name in _ARRAYS if (value := getattr(self, name)) is not None}
        arrays["header"] = np.frombuffer(json.dumps(header, sort_keys=True).encode(), np.uint8)
        target = Path(path)
        part = target.with_name(target.name + ".part")
        with part.open("wb") as handle:
            np.savez_compressed(handle, **arrays)
        os.replace(part, target)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Partition:
        """Reads a file written by `save`; foreign, damaged or newer files are a `UserError`."""
        try:
            arrays = read_npz(path)
            header = json.loads(arrays.pop("header").tobytes())
            if header["format"] != _MARK:
                raise ValueError("no partition")
        except OSError as error:
            raise UserError(
                f"{path} cannot be read: {error.strerror or error}", key="partition", found=str(path)
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} is no partition file, or it is damaged", key="partition", found=str(path)
            ) from error
        if header.get("version") != VERSION:
            raise UserError(
                f"{path} is a partition file of version {header.get('version')}; this release reads {VERSION}",
                key="version",
                found=header.get("version"),
            )
        try:
            out = cls(
                kind=str(header["kind"]),
                parameters=dict(header["parameters"]),
                samples=int(header["samples"]),
                data=str(header["data"]),
                stats=Statistics(**header["stats"]),
                **{name: arrays[name] for name in _ARRAYS if name in arrays},
            )
        except UserError as error:
            raise UserError(f"{path}: {error}", key=error.key, found=error.found) from error
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise UserError(
                f"{path} is no partition file, or it is damaged", key="partition", found=str(path)
            ) from error
        if out.hash != header["hash"] or digest(*_present(out)) != header["check"]:
            raise UserError(f"{path}: its contents do not give the hash that stands in it", key="hash", found=str(path))
        return out


_ARRAYS = ("ids", "lengths", "indices", "truth", "turns", "label_maps", "sources")


def _present(partition: Partition) -> list[Array]:
    return [value for name in _ARRAYS if (value := getattr(partition, name)) is not None]


def assemble(
    labels: IntVector,
    rows: Sequence[IntVector],
    kind: str,
    parameters: Mapping[str, Parameter],
    *,
    ids: IntVector | None = None,
    truth: IntVector | None = None,
    turns: IntVector | None = None,
    label_maps: IntMatrix | None = None,
    sources: IntVector | None = None,
    moved: int = 0,
    redrawn: int = 0,
    dropped: int = 0,
) -> Partition:
    """The partition in which client j has `rows[j]` (sorted here). ids default to 0, 1, …"""
    lengths = np.array([len(r) for r in rows], np.int64)
    indices = np.concatenate([np.sort(r) for r in rows]).astype(np.int64) if rows else np.zeros(0, np.int64)
    return Partition(
        ids=np.arange(len(rows), dtype=np.int64) if ids is None else ids.astype(np.int64),
        lengths=lengths,
        indices=indices,
        kind=kind,
        parameters=dict(parameters),
        samples=len(labels),
        data=digest(labels),
        stats=measure(labels, lengths, indices, moved, redrawn, dropped),
        truth=truth,
        turns=turns,
        label_maps=label_maps,
        sources=sources,
    )
