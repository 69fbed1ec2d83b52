"""What a run trained, ready for use: modules, the group for a newcomer's data, a file to take along."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from disue import data
from disue.core.checks import Array, Float64, Vector
from disue.core.clients import Order, personal_of
from disue.core.errors import UserError
from disue.core.method import Served
from disue.core.priors import log_shares
from disue.core.streams import Streams
from disue.core.world import Census, World
from disue.engine.memory import MemoryStore
from disue.runs import checkpoint
from disue.runs.folder import FORMAT, READS, read_json, write
from disue.runs.setup import MODEL_WORDS, Shape, model_of, network_of
from disue.runs.simulation import newcomers_of
from disue.runs.spec import Spec

if TYPE_CHECKING:
    from torch import nn

    from disue.models.network import TorchNetwork


@dataclass(frozen=True)
class Placed:
    """Where a newcomer's data belongs. `group` is None where the expert serves it best."""

    group: int | None
    losses: dict[str, float]  # mean cross-entropy under each group's model and the expert

    def __str__(self) -> str:
        if self.group is None:
            return f"the expert serves this data best (loss {self.losses['expert']:.3f})"
        return f"group {self.group} serves this data best (loss {self.losses[f'group {self.group}']:.3f})"


@dataclass(frozen=True, eq=False)
class Trained:
    """A run's models as of its last checkpoint; made by `disue.load(RUN)`. Needs no data set."""

    path: Path
    spec: Spec
    world: World
    network: TorchNetwork
    state: Any
    served: Served
    env: dict[str, Any]
    round: int

    @staticmethod
    def load(path: Path) -> Trained:
        """From a run folder; a foreign or damaged one is a UserError."""
        spec_file, env_file = path / "spec.toml", path / "env.json"
        if not spec_file.exists() or not env_file.exists():
            raise UserError(f"{path}: holds no run (spec.toml and env.json are expected)", key="run")
        spec = Spec.read(spec_file)
        env = read_json(env_file)
        if env.get("format") not in READS:
            raise UserError(f"{path}: is of format {env.get('format')}, this version reads {READS}", key="run")
        partition = data.Partition.load(path / "partition.npz")
        ids, _ = newcomers_of(spec, partition.ids)
        shape = Shape(tuple(env["data"]["shape"]), env["data"]["kind"], int(env["data"]["classes"]))
        method = spec.build()
        name = spec.model.get("name") or env["model"]["name"]
        table = {**model_of(spec, method), "name": name, "weights": ""}
        network, start, _ = network_of(table, shape, Streams(int(spec.model.get("seed", spec.seed))))
        sizes = partition.lengths[partition.places(ids)]
        world = World(
            network.layout,
            Census(ids, sizes, shape.classes),
            network,
            Streams(spec.seed),
            spec.rounds,
            public=np.zeros((0, *shape.inputs), np.float32),
            public_labels=np.zeros(0, np.int64),
            truth=None if partition.truth is None else {int(i): 0 for i in ids},
            redraw=lambda index: start,
        )
        saved = checkpoint.read_state(
            path / "checkpoint",
            method.init(world, start).state,
            method=str(spec.method["name"]),
            fingerprint=network.layout.fingerprint,
        )
        return Trained(path, spec, world, network, saved.state, method.serve(world, saved.state, ids), env, saved.round)

    # -- vectors -----------------------------------------------------------------------------------------

    @property
    def groups(self) -> dict[int, list[int]]:
        """Group number → its clients."""
        standing = self.state.groups
        return {int(g): standing.members(int(g)).tolist() for g in standing.numbers}

    def vector(self, what: str) -> Vector:
        """The flat vector of "expert", "average", "group:NUMBER" or "client:ID"."""
        if what == "expert":
            if self.served.expert is None:
                method = self.spec.method["name"]
                raise UserError(f'{self.path}: method "{method}" has no expert; ask for "average"', key="what")
            return np.ascontiguousarray(self.served.models[self.served.expert])
        if what == "average":
            average: Vector = self.state.average
            return average
        word, _, number = what.partition(":")
        if word not in ("group", "client") or not number.lstrip("-").isdigit():
            raise UserError(
                f'what must be expert, average, group:NUMBER or client:ID, got "{what}"', key="what", found=what
            )
        if word == "client":
            return self._used(int(number))
        known = self.state.groups.numbers.tolist()
        if int(number) not in known:
            raise UserError(f"{self.path}: there is no group {number}; groups are {known}", key="what", found=what)
        return np.ascontiguousarray(self.state.models[known.index(int(number))])

    def _used(self, client: int) -> Vector:
        """The model that a client uses: what it receives, or one of its own, made of that and of what it keeps."""
        at = np.flatnonzero(self.world.census.ids == client)
        if not at.size:
            raise UserError(f"{self.path}: no client {client} took part in this run", key="what", found=client)
        received = np.ascontiguousarray(self.served.models[self.served.receives[at[0]]])
        local = self.spec.build().local.at(self.round)
        part = personal_of(local)
        if part is None:
            return received
        if part.phases:
            raise UserError(
                f'{self.path}: clients of method "{self.spec.method["name"]}" fine-tune what they receive on their own '
                "data, which a run folder does not hold",
                key="what",
                found=client,
            )
        memories = MemoryStore()
        memories.load(self.path / "checkpoint" / "memory", self.round)
        layout, size = self.world.layout, int(self.world.census.sizes[at[0]])
        unknown = np.zeros(layout.classes, np.int64)  # its labels are where its data is
        order = Order(client, self.round, received, received[None], 0, np.ones(1), {}, size, unknown, layout)
        context = part.context(order, memories.get(client))
        return np.ascontiguousarray(part.finish(context.trained, 0, context, order).end)

    def scale(self, what: str) -> float:
        return self.served.scale if what == "expert" else 1.0

    # -- modules -----------------------------------------------------------------------------------------

    def expert(self, prior: Sequence[float] | Array | None = None) -> nn.Module:
        """The universal expert as a module.

        prior  a client's label counts or shares (classes,): the module then adds their smoothed logarithm
               to its logits, on the device, with nothing trained or sent
        """
        return self.module("expert", prior)

    def average(self, prior: Sequence[float] | Array | None = None) -> nn.Module:
        """The average that the expert was made from."""
        return self.module("average", prior)

    def group(self, number: int, prior: Sequence[float] | Array | None = None) -> nn.Module:
        """The model of a group."""
        return self.module(f"group:{number}", prior)

    def client(self, number: int, prior: Sequence[float] | Array | None = None) -> nn.Module:
        """The model that a client uses: one of its own where the method makes it one, else what it receives."""
        return self.module(f"client:{number}", prior)

    def module(self, what: str, prior: Sequence[float] | Array | None = None) -> nn.Module:
        """ "expert", "average", "group:NUMBER" or "client:ID" as a module in evaluation mode."""
        from disue.models.prior import WithPrior

        plain = self.network.module(self.vector(what))
        if prior is None:
            return plain
        return WithPrior(plain, log_shares(self.shares(prior)), self.scale(what)).eval()

    def shares(self, prior: Sequence[float] | Array) -> Float64:
        """Label counts or shares as shares (classes,)."""
        given = np.asarray(prior, np.float64)
        classes = self.world.layout.classes
        if given.shape != (classes,) or not np.isfinite(given).all() or (given < 0).any() or given.sum() <= 0:
            raise UserError(
                f"prior: expected {classes} label counts or shares ≥ 0 with a positive sum, got {given!r}",
                key="prior",
            )
        shares: Float64 = given / given.sum()
        return shares

    def inputs(self, x: Array) -> Array:
        """Raw inputs (n, …) normalised as in training."""
        constants = self.env["data"]
        if constants.get("mean") is None:
            return x
        scale = 255.0 if constants["kind"] == "image" and x.dtype == np.uint8 else 1.0
        spread = (1, -1) + (1,) * (x.ndim - 2)
        mean, std = np.array(constants["mean"]), np.array(constants["std"])
        out: Array = ((x / scale - mean.reshape(spread)) / std.reshape(spread)).astype(np.float32)
        return out

    def group_of(self, x: Array, y: Array) -> Placed:
        """The group whose model has the least loss on a newcomer's data, or the expert where that is least.

        x  inputs (n, …), normalised (see `inputs`)      y  labels (n,)
        """
        names = ([] if self.served.expert is None else ["expert"]) + [f"group:{g}" for g in self.groups]
        losses = {name.replace(":", " "): self._loss(name, x, np.asarray(y)) for name in names}
        best = min(losses, key=lambda name: losses[name])
        return Placed(None if best == "expert" else int(best.split()[1]), losses)

    def _loss(self, what: str, x: Array, y: Array) -> float:
        logits = self.network.logits(self.vector(what), x).astype(np.float64) / self.scale(what)
        logits -= logits.max(axis=1, keepdims=True)
        picked = logits[np.arange(len(y)), y] - np.log(np.exp(logits).sum(axis=1))
        return float(-picked.mean())

    @cached_property
    def metrics(self) -> dict[str, dict[str, float]]:
        """The metrics of summary.json, each with "final" and "last10"."""
        file = self.path / "summary.json"
        return dict(read_json(file)["metrics"]) if file.exists() else {}

    def export(self, what: str, to: str | Path) -> Path:
        """Writes a model as safetensors: its tensors by name, with layout, model name and normalisation."""
        from safetensors.numpy import save

        vector, layout = self.vector(what), self.world.layout
        tensors = {e.name: np.ascontiguousarray(layout.tensor(vector, e.name)) for e in layout.entries}
        about = {
            "format": FORMAT,
            "what": what,
            "model": self.env["model"]["name"],
            "additive": bool(model_of(self.spec, self.spec.build()).get("additive")),
            "arguments": {k: v for k, v in self.spec.model.items() if k not in MODEL_WORDS},
            "layout": [asdict(e) for e in layout.entries],
            "head": [layout.head_weight, layout.head_bias],
            "scale": self.scale(what),
            "data": {k: self.env["data"].get(k) for k in ("name", "shape", "kind", "classes", "labels", "mean", "std")},
        }
        target = Path(to)
        write(target, lambda file: file.write(save(tensors, metadata={"disue": json.dumps(about)})))
        return target
