"""From a spec to what the server of a run is given: model, world, method, and what is known of the data."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

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
from disue.runs.assemble import AnyMethod
from disue.runs.folder import FORMAT
from disue.runs.spec import Spec

if TYPE_CHECKING:
    from disue.models.network import TorchNetwork

MODEL_WORDS = ("name", "additive", "weights", "freeze", "seed")


@dataclass(frozen=True)
class Shape:
    """What a model must know of the data; enough to load a run without its data."""

    inputs: tuple[int, ...]
    kind: str
    classes: int


@dataclass(frozen=True)
class Facts:
    """What is written down of the data and of who has it; see `env.json`."""

    data: Mapping[str, Any]
    partition: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """Of who has what: a checkpoint belongs to it."""
        return str(self.partition["hash"])


@dataclass(frozen=True)
class Public:
    """Inputs that are not the clients', and their labels where a method is allowed them."""

    inputs: Array | None = None
    labels: IntVector | None = None


@dataclass(frozen=True, eq=False)
class Setup:
    """A spec made real, as far as the server goes. `ids` train; `late` are the newcomers, kept out of training."""

    spec: Spec
    ids: IntVector
    late: IntVector
    network: TorchNetwork
    start: Vector
    world: World
    method: AnyMethod
    notes: tuple[str, ...]
    facts: Facts

    @cached_property
    def cohort(self) -> int:
        return self.spec.cohort_size(self.ids.size)


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


def furnish(
    spec: Spec,
    method: AnyMethod,
    shape: Shape,
    census: Census,
    facts: Facts,
    streams: Streams,
    *,
    late: IntVector | None = None,
    public: Public = Public(),
    truth: Mapping[int, int] | None = None,
) -> Setup:
    """Model and world, and every check that needs no data: of the method against the door, the clients, the model.

    census  those who train      late  those who come late
    """
    ids = census.ids
    cohort = spec.cohort_size(ids.size)
    model_seed = int(spec.model.get("seed", spec.seed))
    table = model_of(spec, method)
    network, start, notes = network_of(table, shape, Streams(model_seed))

    def redraw(index: int) -> Vector:
        return network_of(table, shape, Streams(model_seed), index + 1)[1]

    refuse(method, spec.privacy.door if spec.privacy.on else PLAIN, str(spec.method["name"]))
    privacy.check_clients(spec.privacy, method, ids.size, cohort)
    notes += privacy.remarks(spec.privacy, method, spec.cohort.kind, spec.cohort.lot)
    world = World(
        network.layout,
        census,
        network,
        streams,
        spec.rounds,
        public=public.inputs,
        public_labels=public.labels,
        truth=truth,
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
    bears = getattr(method.aggregate, "check", None)
    if bears is not None:
        bears(cohort)
    late = np.zeros(0, np.int64) if late is None else late
    return Setup(spec, ids, late, network, start, world, method, notes, facts)


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


def about(setup: Setup) -> dict[str, Any]:
    """What env.json says: versions, machine, data, partition, model and the method's parts as they are."""
    import torch

    layout = setup.world.layout
    return {
        "format": FORMAT,
        "disue": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "seed": setup.spec.seed,
        "data": dict(setup.facts.data),
        "partition": dict(setup.facts.partition),
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
