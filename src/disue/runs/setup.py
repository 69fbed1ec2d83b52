"""From a spec to everything a run needs: data, partition, federation, model, world, method, engine."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from disue import data
from disue._version import __version__
from disue.core.checks import Array, IntVector, Vector
from disue.core.clients import private_of
from disue.core.errors import UserError
from disue.core.layout import HEAD, Layout
from disue.core.orders import Sight
from disue.core.rounds import refuse
from disue.core.streams import Streams
from disue.core.uploads import PLAIN
from disue.core.world import Census, World
from disue.models import default_for
from disue.runs import privacy
from disue.runs.assemble import AnyMethod, mark_of
from disue.runs.folder import FORMAT
from disue.runs.spec import Spec

if TYPE_CHECKING:
    from disue.models.network import TorchNetwork

PUBLIC, REAL = "public data", "real data"  # marks of methods that are given inputs
PUBLIC_SHARE, MOST = 0.1, 5000  # of the clients' data, unless said otherwise; inputs that are held at most
PARTITION_WORDS = ("kind", "seed", "file")
MODEL_WORDS = ("name", "additive", "weights", "freeze", "seed")


@dataclass(frozen=True)
class Shape:
    """What a model must know of the data; enough to load a run without its data."""

    inputs: tuple[int, ...]
    kind: str
    classes: int


@dataclass(frozen=True, eq=False)
class Setup:
    """A spec made real. `ids` train; `late` are the newcomers, kept out of training."""

    spec: Spec
    dataset: data.Dataset
    partition: data.Partition
    federation: data.Federation
    ids: IntVector
    late: IntVector
    network: TorchNetwork
    start: Vector
    world: World
    method: AnyMethod
    notes: tuple[str, ...]

    @cached_property
    def cohort(self) -> int:
        return self.spec.cohort_size(self.ids.size)


def dataset_of(spec: Spec, data_dir: str | Path | None = None) -> data.Dataset:
    """The set that the spec names, with a second one mixed in where it says so."""
    dataset = data.load(spec.data.name or None, path=spec.data.path or None, data_dir=data_dir)
    if spec.data.mix:
        return data.mix(dataset, data.load(spec.data.mix, data_dir=data_dir), share_labels=spec.data.share_labels)
    if spec.data.share_labels:
        raise UserError("data.share_labels has no effect without data.mix; leave it out", key="data.share_labels")
    return dataset


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


def network_of(
    table: Mapping[str, Any], shape: Shape, streams: Streams, draw: int = 0
) -> tuple[TorchNetwork, Vector, tuple[str, ...]]:
    """The network, its initial vector and what there is to say about it.

    draw  0: the common start; n: the n-th further draw of the initialiser. An additive model starts as its shared
          branch alone, the very model that is not additive; in further draws its own branch speaks.
    """
    from disue.models.additive import Additive, silenced
    from disue.models.build import build, load_weights
    from disue.models.flat import flatten
    from disue.models.network import TorchNetwork

    name = table.get("name") or default_for(shape.kind, shape.inputs)
    arguments = {k: v for k, v in table.items() if k not in MODEL_WORDS}

    def drawn(stream: str) -> Any:
        seed = streams.torch_seed(stream, *([draw] if draw else []))
        return build(name, shape.inputs, shape.classes, seed, kind=shape.kind, **arguments)

    module = drawn("init")
    notes = [] if table.get("name") else [f'model: none given, "{name}" chosen by the data\'s shape {shape.inputs}']
    if table.get("weights"):
        notes.append(f"model: {load_weights(module, table['weights'])}")
    if table.get("additive"):
        own = drawn("init-own")
        module = Additive(module, own if draw else silenced(own), shape.classes).eval()
    _freeze(module, tuple(table.get("freeze", ())))
    return TorchNetwork(module, shape.inputs, shape.kind, name=name), flatten(module), tuple(notes)


def model_of(spec: Spec, method: AnyMethod) -> Mapping[str, Any]:
    """[model], additive where the method's parts speak of branches."""
    if not method.additive:
        return spec.model
    if spec.model.get("additive") is False:
        raise UserError(
            "model.additive is false, but the method adds a shared and a group's own model; leave the key out",
            key="model.additive",
            found=False,
        )
    return {**spec.model, "additive": True}


def _freeze(module: Any, patterns: tuple[str, ...]) -> None:
    """Tensors whose names meet a pattern are not trained; they count as statistics from here on."""
    import fnmatch

    names = [name for name, _ in module.named_parameters()]
    for pattern in patterns:
        met = [name for name in names if fnmatch.fnmatch(name, pattern) or name.startswith(pattern + ".")]
        if not met:
            raise UserError(
                f'model.freeze: "{pattern}" meets no tensor of the model. Its tensors: {", ".join(names)}',
                key="model.freeze",
                found=pattern,
            )
        for name, weight in module.named_parameters():
            if name in met:
                weight.requires_grad_(False)
    if patterns and not any(w.requires_grad for w in module.parameters()):
        raise UserError("model.freeze: all tensors are frozen, nothing is left to train", key="model.freeze")


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
) -> Setup:
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
    cohort = spec.cohort_size(ids.size)
    shape = Shape(dataset.shape, dataset.kind, dataset.classes)
    model_seed = int(spec.model.get("seed", spec.seed))
    table = model_of(spec, method)
    network, start, notes = network_of(table, shape, Streams(model_seed))

    def redraw(index: int) -> Vector:
        return network_of(table, shape, Streams(model_seed), index + 1)[1]

    refuse(method, spec.privacy.door if spec.privacy.on else PLAIN, str(spec.method["name"]))
    privacy.check_clients(spec.privacy, method, ids.size, cohort)
    notes += privacy.remarks(spec.privacy, method, spec.cohort.kind, spec.cohort.lot)
    sizes = federation.sizes_of(ids)
    public, public_labels = None, None
    if REAL in mark:
        public, public_labels = real_inputs(federation, ids, streams)
    elif PUBLIC in mark:
        public = public_inputs(spec.data.public, dataset, federation, streams, data_dir)
        if share != spec.data.public_share:
            notes += (
                f"data: {share:.0%} of each client's training data was given to the server, as the method needs public "
                f"inputs; compare it with methods under data.public_share = {share}",
            )
    planted = partition.truth
    world = World(
        network.layout,
        Census(ids, sizes, dataset.classes),
        network,
        streams,
        spec.rounds,
        public=public,
        public_labels=public_labels,
        truth=None
        if planted is None
        else dict(zip(ids.tolist(), planted[partition.places(ids)].tolist(), strict=True)),
        redraw=redraw,
    )
    check_trained(network.layout, method, additive=bool(table.get("additive")))
    check_private(network.layout, method)
    k = getattr(method.grouping, "k", None)
    if k is not None and k > ids.size:
        raise UserError(f"method.k is {k}, but there are {ids.size} clients", key="method.k")
    if method.floor.members > ids.size:
        raise UserError(
            f"method.floor.members is {method.floor.members}, but there are {ids.size} clients",
            key="method.floor.members",
        )
    return Setup(spec, dataset, partition, federation, ids, late, network, start, world, method, notes)


def check_trained(layout: Layout, method: AnyMethod, *, additive: bool) -> None:
    """Refuses a head that is not trained where the method replaces it, and untrained tensors that it compares.

    Such are what [model] freezes, and the head of an additive model, which is a sum.
    """
    if Sight.MOMENTS in method.expert.sight and not layout.mask(HEAD).any():
        if additive:
            raise UserError(
                "the moments expert replaces the head, and an additive model has none that knows both branches: take "
                "another expert",
                key="method.expert",
            )
        raise UserError(
            "model.freeze holds the head, which the moments expert replaces: freeze the body, or take another expert",
            key="model.freeze",
        )
    for part in method.grouping.parts:
        if not layout.mask(part).any():
            why = "an additive model does not train" if additive and part == HEAD else "model.freeze holds"
            raise UserError(
                f"{why} all of {', '.join(part.patterns)}, whose updates the grouping compares: "
                "give [method.grouping] another part",
                key="method.grouping" if additive and part == HEAD else "model.freeze",
            )


def check_private(layout: Layout, method: AnyMethod) -> None:
    """Refuses a local part that has no meaning for the model, and private entries where received models are used."""
    if hasattr(method.local, "check"):
        method.local.check(layout)
    private = private_of(method.local, layout)
    if not private.any():
        return
    unseen = any(not (layout.mask(part) & ~private).any() for part in method.grouping.parts)
    for holds, what in (
        (method.expert.serves, "no expert can be made of what they send: take the expert none"),
        (method.start.choice != "none", "they cannot choose among models that they receive: take another start"),
        (unseen, "the grouping would compare none but those: give [method.grouping] another part"),
    ):
        if holds:
            name = type(method.local).__name__
            raise UserError(
                f"method.local: with {name} clients keep entries of the model to themselves, and {what}, or another "
                "local part",
                key="method.local",
            )


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


def about(setup: Setup) -> dict[str, Any]:
    """What env.json says: versions, machine, data, partition, model and the method's parts as they are."""
    import torch

    dataset, partition, layout = setup.dataset, setup.partition, setup.world.layout
    return {
        "format": FORMAT,
        "disue": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "seed": setup.spec.seed,
        "data": {
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
        },
        "partition": {
            "kind": partition.kind,
            "hash": partition.hash,
            "clients": len(partition.ids),
            "newcomers": int(setup.late.size),
            "stats": vars(partition.stats) if hasattr(partition.stats, "__dict__") else str(partition.stats),
        },
        "model": {
            "name": layout.model,
            "parameters": layout.d,
            "features": layout.features,
            "fingerprint": layout.fingerprint,
        },
        "method": {
            slot: repr(getattr(setup.method, slot)) for slot in ("start", "local", "grouping", "aggregate", "expert")
        },
    }
