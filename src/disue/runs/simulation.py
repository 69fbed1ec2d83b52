"""From a spec to a simulation: its data, its partition, all clients in this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from disue import data
from disue.attacks import draw
from disue.core.checks import Array, IntVector
from disue.core.errors import UserError
from disue.core.streams import Streams
from disue.core.world import Census
from disue.runs import attack
from disue.runs.assemble import AnyMethod, mark_of
from disue.runs.setup import Facts, Public, Setup, Shape, furnish
from disue.runs.spec import Spec

PUBLIC, REAL = "public data", "real data"  # marks of methods that are given inputs
PUBLIC_SHARE, MOST = 0.1, 5000  # of the clients' data, unless said otherwise; inputs that are held at most
PARTITION_WORDS = ("kind", "seed", "file")


@dataclass(frozen=True, eq=False)
class Simulation(Setup):
    """A `Setup` with the clients' data, and who of them lies."""

    dataset: data.Dataset
    partition: data.Partition
    federation: data.Federation
    liars: IntVector = field(default_factory=lambda: np.zeros(0, np.int64))


def dataset_of(spec: Spec, data_dir: str | Path | None = None) -> data.Dataset:
    """The set that the spec names, with a second one mixed in where it says so."""
    dataset = described(spec, data.load(spec.data.name or None, path=spec.data.path or None, data_dir=data_dir))
    if spec.data.mix:
        return data.mix(dataset, data.load(spec.data.mix, data_dir=data_dir), share_labels=spec.data.share_labels)
    if spec.data.share_labels:
        raise UserError("data.share_labels has no effect without data.mix; leave it out", key="data.share_labels")
    return dataset


def described(spec: Spec, dataset: data.Dataset) -> data.Dataset:
    """With the constants of normalisation and the number of labels that the spec gives, where it gives them."""
    channels = dataset.shape[0] if dataset.shape else 0
    if spec.data.mean and (dataset.kind == "text" or len(spec.data.mean) != channels):
        raise UserError(
            f"data.mean has {len(spec.data.mean)} numbers; {dataset.name} is {dataset.kind} data of shape "
            f"{dataset.shape}, which takes {'none' if dataset.kind == 'text' else channels}",
            key="data.mean",
        )
    if spec.data.classes and spec.data.classes < dataset.classes:
        raise UserError(
            f"data.classes is {spec.data.classes}, and {dataset.name} has {dataset.classes} labels", key="data.classes"
        )
    changes: dict[str, Any] = {}
    if spec.data.mean:
        changes = {"mean": np.array(spec.data.mean), "std": np.array(spec.data.std)}
    if spec.data.classes and spec.data.classes != dataset.classes:
        changes |= {"classes": spec.data.classes, "labels": ()}
    return replace(dataset, **changes) if changes else dataset


def partition_of(spec: Spec, dataset: data.Dataset) -> data.Partition:
    """The partition that the spec names: read from a file, or drawn from its own seed."""
    table = dict(spec.partition)
    if table.get("file"):
        found = data.Partition.load(table["file"])
        found.fits(dataset.y_train)
        return found
    arguments = {k: v for k, v in table.items() if k not in PARTITION_WORDS}
    seed = table.get("seed", spec.seed)
    return data.make(dataset, table.get("kind", "dirichlet"), streams=Streams(seed), **arguments)


def newcomers_of(spec: Spec, ids: IntVector) -> tuple[IntVector, IntVector]:
    """(those who train, those who come late), drawn from the stream `newcomers`."""
    late = round(spec.cohort.newcomers * ids.size)
    if late >= ids.size:
        raise UserError(f"cohort.newcomers leaves none of {ids.size} clients to train", key="cohort.newcomers")
    chosen = np.sort(Streams(spec.seed)("newcomers").choice(np.sort(ids), late, replace=False))
    return np.sort(ids[~np.isin(ids, chosen)]), chosen


def prepare(
    spec: Spec,
    data_dir: str | Path | None = None,
    partition: data.Partition | None = None,
    *,
    dataset: data.Dataset | None = None,
    method: AnyMethod | None = None,
    streams: Streams | None = None,
) -> Simulation:
    """Loads and builds everything; every mistake that can be seen before training is seen here.

    partition, dataset, method, streams   values that are there already take the place of what the spec names
    """
    dataset = dataset_of(spec, data_dir) if dataset is None else dataset
    partition = partition_of(spec, dataset) if partition is None else partition
    streams = Streams(spec.seed) if streams is None else streams
    method = spec.build() if method is None else method
    mark = mark_of(method)
    share = spec.data.public_share or (PUBLIC_SHARE if PUBLIC in mark and not spec.data.public else 0.0)
    federation = data.Federation(
        dataset,
        partition,
        streams,
        validation=spec.evaluate.on == "validation",
        local_test=spec.evaluate.local,  # type: ignore[arg-type]
        public=share,
    )
    ids, late = newcomers_of(spec, federation.ids)
    notes: tuple[str, ...] = ()
    public = Public()
    if REAL in mark:
        public = Public(*real_inputs(federation, ids, streams))
    elif PUBLIC in mark:
        public = Public(public_inputs(spec.data.public, dataset, federation, streams, data_dir))
        if share != spec.data.public_share:
            notes = (
                f"data: {share:.0%} of each client's training data was given to the server, as the method needs public "
                f"inputs; compare it with methods under data.public_share = {share}",
            )
    planted = partition.truth
    made = furnish(
        spec,
        method,
        Shape(dataset.shape, dataset.kind, dataset.classes),
        Census(ids, federation.sizes_of(ids), dataset.classes),
        facts_of(dataset, partition, late.size),
        streams,
        late=late,
        public=public,
        truth=None
        if planted is None
        else dict(zip(ids.tolist(), planted[partition.places(ids)].tolist(), strict=True)),
    )
    given = {**vars(made), "notes": made.notes + notes}
    given.pop("cohort", None)
    liars = liars_of(spec, dataset, ids, made.world.truth, streams)
    return Simulation(**given, dataset=dataset, partition=partition, federation=federation, liars=liars)


def liars_of(
    spec: Spec, dataset: data.Dataset, ids: IntVector, truth: Mapping[int, int] | None, streams: Streams
) -> IntVector:
    """Who lies, of those who train; nobody without [attack]."""
    if not spec.attack:
        return np.zeros(0, np.int64)
    made = attack.built(spec.attack)
    attack.fits(made, dataset)
    share, target = float(spec.attack["share"]), int(spec.attack["target"])
    return draw(streams, ids, share, target, truth, mixed=made.needs_target)


def real_inputs(federation: data.Federation, ids: IntVector, streams: Streams) -> tuple[Array, IntVector]:
    """Real inputs for methods that are allowed some (the real-data student): the clients' own, at most `MOST`."""
    pairs = [federation.train(int(i)) for i in ids]
    x, y = np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])
    keep = np.sort(streams("public").permutation(len(y))[:MOST])
    return x[keep], y[keep]


def public_inputs(
    name: str, dataset: data.Dataset, federation: data.Federation, streams: Streams, data_dir: str | Path | None
) -> Array:
    """At most `MOST` inputs without labels: another set's, normalised as ours are, or what was taken from clients."""
    if not name:
        found = federation.public_inputs()
        if not len(found):
            raise UserError(
                "data.public_share leaves the server no input: clients are too small; raise it or give data.public",
                key="data.public_share",
            )
    else:
        other = data.load(name, data_dir=data_dir)
        if (other.kind, other.shape) != (dataset.kind, dataset.shape):
            raise UserError(
                f"data.public: {name} is {other.kind} data of shape {other.shape}, and {dataset.name} is "
                f"{dataset.kind} data of shape {dataset.shape}; they must be alike",
                key="data.public",
                found=name,
            )
        found = other.x_train
    keep = np.sort(streams("public").permutation(len(found))[:MOST])
    return dataset.inputs(found[keep]) if name else np.ascontiguousarray(found[keep])


def facts_of(dataset: data.Dataset, partition: data.Partition, late: int) -> Facts:
    """What a run writes down of them."""
    of_data = {
        "name": dataset.name,
        "variant": dataset.variant,
        "train": dataset.sizes[0],
        "test": dataset.sizes[1],
        "classes": dataset.classes,
        "shape": list(dataset.shape),
        "kind": dataset.kind,
        "files": [list(pair) for pair in dataset.files],
        "citation": dataset.citation,
        "note": dataset.note,
        "labels": list(dataset.labels),
        "mean": None if dataset.mean is None else dataset.mean.tolist(),
        "std": None if dataset.std is None else dataset.std.tolist(),
    }
    of_partition = {
        "kind": partition.kind,
        "hash": partition.hash,
        "clients": len(partition.ids),
        "newcomers": late,
        "stats": vars(partition.stats) if hasattr(partition.stats, "__dict__") else str(partition.stats),
    }
    return Facts(of_data, of_partition)
