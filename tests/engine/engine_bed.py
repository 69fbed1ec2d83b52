"""Three clients of ragged sizes, whose ids are no positions, and small models for them."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from disue.core.clients import Batch, Context, Finished, Sgd
from disue.core.layout import WHOLE, Part
from disue.core.orders import Orders, Report, Sight
from disue.core.streams import Streams
from disue.core.world import Census, World
from disue.engine import Engine
from disue.models.build import build
from disue.models.flat import flatten
from disue.models.network import TorchNetwork
from disue.parts.local import Erm

IDS = (4001, 17, 902)
SIZES = {4001: 7, 17: 23, 902: 12}
EVERY = Report(sight=frozenset(Sight), parts=(WHOLE, Part.of("head")))


class Held:
    """Clients' data by id; arrays that cannot be written to."""

    def __init__(self, data, classes=4):
        self.data, self.classes = data, classes
        for x, y in data.values():
            x.flags.writeable = y.flags.writeable = False

    @property
    def ids(self):
        return np.array(list(self.data), np.int64)

    def size(self, client):
        return len(self.data[client][1])

    def train(self, client):
        return self.data[client]

    def label_counts(self, client):
        return np.bincount(self.data[client][1], minlength=self.classes)


def clients(shape=(5,), classes=4, sizes=SIZES, seed=0, offset=0.3):
    data = {}
    for client, n in sizes.items():
        rng = np.random.default_rng([seed, client])
        if shape == (9,):  # text
            x = rng.integers(0, 6, (n, 9))
        else:
            x = (rng.standard_normal((n, *shape)) + offset).astype(np.float32)
        data[client] = (x, rng.integers(0, classes, n))
    return Held(data, classes)


class Normed(nn.Module):
    """A convolution with BatchNorm before the head; `drop` adds dropout."""

    def __init__(self, drop=0.0, classes=4):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.drop, self.head = nn.Dropout(drop), nn.Linear(3 * 16, classes)

    def features(self, inputs):
        return self.drop(torch.relu(self.norm(self.conv(inputs))).flatten(1))

    def forward(self, inputs):
        return self.head(self.features(inputs))


@dataclass
class Bed:
    """A world of one model and its clients."""

    module: nn.Module
    shape: tuple
    held: Held
    kind: str = "image"
    network: TorchNetwork = field(init=False)
    start: np.ndarray = field(init=False)

    def __post_init__(self):
        self.network = TorchNetwork(self.module, self.shape, self.kind)
        self.start = flatten(self.module)
        self.start.flags.writeable = False

    @property
    def layout(self):
        return self.network.layout

    def world(self, seed=0):
        ids = self.held.ids
        sizes = np.array([self.held.size(i) for i in ids.tolist()])
        return World(self.layout, Census(ids, sizes, self.held.classes), self.network, Streams(seed), 9)

    def orders(self, local, ids=IDS, starts=None, report=EVERY, **given):
        starts = self.start[None] if starts is None else starts
        which = given.pop("which", np.zeros((len(ids), 1), np.int64))
        origin = given.pop("origin", starts[0] if len(starts) == 1 else None)
        round = given.pop("round", 3)
        return Orders(round, np.array(ids), starts, which, origin=origin, local=local, report=report, **given)

    def engine(self, backend="lean", **given):
        return Engine(self.held, backend, **given)

    def train(self, local, backend="lean", ids=IDS, double=False, **given):
        """The uploads of one exchange by a fresh engine."""
        return self.engine(backend, double=double).answer(self.world(), self.orders(local, ids, **given))


def bed(name="mlp", **given):
    """Beds by name: linear, mlp, tiny, text, sequence, residual, normed, dropping."""
    torch.manual_seed(5)
    if name in ("normed", "dropping"):
        module = Normed(0.4 if name == "dropping" else 0.0).eval()
        return Bed(module, (2, 4, 4), clients((2, 4, 4), **given))
    if name == "tiny":
        return Bed(build("tiny", (1, 8, 8), 4, 3), (1, 8, 8), clients((1, 8, 8), **given))
    if name == "text":
        module = build("gru", (9,), 4, 3, hidden=5, vocabulary=6)
        return Bed(module, (9,), clients((9,), **given), "text")
    if name == "sequence":
        return Bed(build("cnn1d", (2, 16), 4, 3), (2, 16), clients((2, 16), **given), "sequence")
    if name == "residual":
        module = build("resnet8", (3, 8, 8), 4, 3, norm="batch", width=4)
        return Bed(module, (3, 8, 8), clients((3, 8, 8), **given))
    if name == "linear":
        return Bed(build("mlp", (5,), 4, 3, hidden=()), (5,), clients(**given), "vector")
    return Bed(build("mlp", (5,), 4, 3, hidden=(6,)), (5,), clients(**given), "vector")


# -- local parts that press on the seam ---------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A phase with everything open: `pull` towards a context vector, loss against a second one."""

    sgd: Sgd = Sgd(lr=0.1, epochs=2, batch=5)
    vector: str = "model"
    trains: Part = WHOLE
    pull: float = 0.0
    contrast: str = ""
    separable: bool = True

    def loss(self, forward, batch: Batch, context):
        logits, features = forward(batch.inputs)
        loss = nn.functional.cross_entropy(logits, batch.labels)
        if self.contrast:
            loss = loss + (features - forward(batch.inputs, self.contrast)[1]).square().mean()
        return loss

    def correct(self, gradient, weights, context):
        return gradient + self.pull * (weights - context["anchor"]) if self.pull else None


@dataclass(frozen=True)
class Phased:
    """Any phases over "model" and "personal", with the received start as "anchor"."""

    phases: tuple = (Step(),)
    second: bool = False

    def at(self, round):
        return self

    def brief(self, epochs):
        return replace(self, phases=tuple(replace(p, sgd=replace(p.sgd, epochs=epochs)) for p in self.phases))

    def context(self, order, memory):
        trained = {"model": order.start}
        if self.second:
            trained["personal"] = memory.get("personal", order.start)
        return Context(trained, {"anchor": order.start, "other": order.start * np.float32(0.5)})

    def finish(self, ends, steps, context, order):
        return Finished(ends["model"], memory={"personal": ends["personal"]} if self.second else {})


__all__ = ["EVERY", "IDS", "SIZES", "Bed", "Erm", "Held", "Normed", "Phased", "Step", "bed", "clients"]
