"""One small federation on which a public implementation and ours play the same rounds.

A script beside this file compares one method: it imports the reference's own functions from a checkout that the caller
names, gives them the weights and the batches that our engine uses, and prints the largest absolute differences:

    python tests/reference/fedprox.py PATH_TO_CHECKOUT [PATH_TO_ANOTHER ...]

Ours run through `Engine`, in float64 inside a client's training; a vector at rest is float32, as always, so a server's
model differs by 1e-8 or so where everything is right. No code of a reference is kept here.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from disue.core.clients import Local, Sgd
from disue.core.streams import Streams
from disue.core.world import Census, World
from disue.engine import Engine
from disue.engine.batches import Draws
from disue.engine.interface import Work
from disue.methods import TABLE
from disue.models.build import build
from disue.models.flat import flatten
from disue.models.network import TorchNetwork
from disue.parts.local import KINDS

IDS = (17, 902, 4001)  # ascending, so that the i-th is a reference's client i; no id is a position
SIZES = {17: 12, 902: 30, 4001: 21}
ALIKE = {17: 21, 902: 21, 4001: 21}
SHAPE, CLASSES, ROUNDS = (5,), 4, 9
COHORTS = (IDS, (17, 4001), IDS)  # one client is absent once
CONTROL = "--control"  # ours then train with a rate one per cent too high: what was equal must differ
LOCAL: dict[str, Any] = {"epochs": 2, "batch": 8, "lr": 0.1}


class Held:
    """Clients' data by id."""

    def __init__(self, data: Mapping[int, tuple[np.ndarray, np.ndarray]], classes: int) -> None:
        self.data, self.classes = dict(data), classes

    @property
    def ids(self) -> np.ndarray:
        return np.array(list(self.data), np.int64)

    def size(self, client: int) -> int:
        return len(self.data[client][1])

    def train(self, client: int) -> tuple[np.ndarray, np.ndarray]:
        return self.data[client]

    def label_counts(self, client: int) -> np.ndarray:
        return np.bincount(self.data[client][1], minlength=self.classes)


class Passes:
    """A data loader that gives the batches of our engine, the next pass each time it is gone through.

    Gone through without gradients (an evaluation) it gives the first pass and forgets that.
    """

    def __init__(self, passes: Sequence[Sequence[tuple[Tensor, Tensor]]], size: int) -> None:
        self.passes, self.dataset, self.done = list(passes), range(size), 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        at = 0
        if torch.is_grad_enabled():
            at, self.done = self.done, self.done + 1
        return iter([(x.clone(), y.clone()) for x, y in self.passes[at]])

    def __len__(self) -> int:
        return len(self.passes[0])


@dataclass(frozen=True)
class Round:
    """What a round of ours came to; `state` is the method's, after it."""

    index: int
    cohort: tuple[int, ...]
    start: np.ndarray  # (d,) the first vector sent, float64
    ends: dict[int, np.ndarray]
    uploads: Any
    memory: dict[int, dict[str, np.ndarray]]
    state: Any


class Bed:
    """A world of one model and three clients."""

    def __init__(
        self,
        sizes: Mapping[int, int] = SIZES,
        module: nn.Module | None = None,
        shape: tuple[int, ...] = SHAPE,
        classes: int = CLASSES,
        kind: str = "vector",
        seed: int = 3,
    ) -> None:
        data = {}
        for client, n in sizes.items():
            rng = np.random.default_rng([seed, client])
            x = rng.standard_normal((n, *shape)).astype(np.float32)
            data[client] = x, rng.integers(0, classes, n)
        self.held = Held(data, classes)
        module = build("mlp", shape, classes, seed, hidden=(6,)) if module is None else module
        self.network, self.start = TorchNetwork(module, shape, kind), flatten(module)
        self.streams, self.seed, self.shape, self.kind = Streams(seed), seed, shape, kind
        self.public: np.ndarray | None = None
        self.surveys: list[Any] = []  # the answers to the surveys of what was played last

    @property
    def world(self) -> World:
        ids, layout = self.held.ids, self.network.layout
        sizes = np.array([self.held.size(i) for i in ids.tolist()])
        census = Census(ids, sizes, self.held.classes)
        return World(layout, census, self.network, self.streams, ROUNDS, public=self.public, redraw=self.fresh)

    def fresh(self, index: int) -> np.ndarray:
        """The index-th further draw of the initialiser."""
        return flatten(build("mlp", self.shape, self.held.classes, self.seed + 1 + index, hidden=(6,)))

    # -- ours ------------------------------------------------------------------------------------------

    def method(self, name: str, local: Mapping[str, Any] = LOCAL, **keys: Any) -> Any:
        """A method of the table; `keys` are those of [method]."""
        listed = TABLE[name]
        local = {**local, "lr": local["lr"] * 1.01} if CONTROL in sys.argv else local
        return listed.build(KINDS[listed.local](**local), **keys)

    def play(self, method: Any, cohorts: Sequence[Sequence[int]] = COHORTS, backend: str = "lean") -> list[Round]:
        """Our rounds, with the surveys that the method asks for."""
        world, out = self.world, []
        self.surveys = []
        with Engine(self.held, backend, double=True) as engine:
            told = method.init(world, self.start)
            for index, cohort in enumerate(cohorts):
                while told.then is not None:
                    self.surveys.append(engine.answer(world, told.then))
                    told = method.tell(world, told.state, told.then, self.surveys[-1])
                orders = method.ask(world, told.state, np.array(sorted(cohort), np.int64))
                uploads = engine.answer(world, orders)
                told = method.tell(world, told.state, orders, uploads)
                memory = {i: dict(engine.memory.get(i)) for i in world.census.ids.tolist()}
                start = orders.starts[0].astype(np.float64)
                out.append(Round(index, tuple(cohort), start, uploads.ends, uploads, memory, told.state))
        return out

    # -- the same for a reference ------------------------------------------------------------------------

    def passes(
        self,
        client: int,
        round: int,
        local: Local | Mapping[str, Any] = LOCAL,
        dtype: torch.dtype = torch.float64,
        stream: str = "batches",
    ) -> Passes:
        """The batches of a client in a round, as our engine draws them."""
        if isinstance(local, Mapping):
            local = KINDS["erm"](**{k: local[k] for k in ("epochs", "steps", "batch", "lr") if k in local})
        sgd: Sgd = local.phases[0].sgd
        x, y = self.held.train(client)
        draws = Draws(Work(self.network, self.streams, stream, round), client)
        found = []
        for order, cuts in draws.passes("model", len(y), sgd, 1):
            rows = [order[cut] for cut in cuts]
            found.append([(torch.from_numpy(x[at]).to(dtype), torch.from_numpy(y[at])) for at in rows])
        return Passes(found, len(y))

    def module(self, vector: np.ndarray | None = None, dtype: torch.dtype = torch.float64) -> nn.Module:
        """A fresh module with these weights (those that all start from, where none are given)."""
        module = self.network.module(self.start).to(dtype).train()
        return module if vector is None else self.load(module, vector)

    def load(self, module: nn.Module, vector: np.ndarray) -> nn.Module:
        """The module itself, with these weights and statistics."""
        layout, state = self.network.layout, module.state_dict()
        with torch.no_grad():
            for entry in layout.entries:
                values = np.array(vector[layout.slices[entry.name]], np.float64)
                state[entry.name].copy_(torch.from_numpy(values).view(entry.shape))
        return module

    def vector(self, module: nn.Module) -> np.ndarray:
        """(d,) float64: weights and statistics of a module, in the order of the layout."""
        state = module.state_dict()
        return flat([state[entry.name] for entry in self.network.layout.entries])


def flat(of: nn.Module | Mapping[str, Any] | Sequence[Any]) -> np.ndarray:
    """(d,) float64 of a module, of tensors by name, or of a list of arrays, in their order."""
    values = of.parameters() if isinstance(of, nn.Module) else of.values() if isinstance(of, Mapping) else of
    rows = [v.detach().cpu().numpy() if isinstance(v, Tensor) else np.asarray(v) for v in values]
    return np.concatenate([row.astype(np.float64).reshape(-1) for row in rows])


def shaped(vector: np.ndarray, like: nn.Module) -> list[np.ndarray]:
    """The arrays of a flat vector, shaped as the module's parameters."""
    out, at = [], 0
    for parameter in like.parameters():
        out.append(np.asarray(vector[at : at + parameter.numel()], np.float64).reshape(tuple(parameter.shape)))
        at += parameter.numel()
    return out


class Apart(dict[str, float]):
    """Largest absolute differences by name; whole numbers are counts."""

    def add(self, name: str, ours: Any, theirs: Any) -> None:
        gap = np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64))
        self[name] = max(self.get(name, 0.0), float(gap.max()))


# -- checkouts ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reference:
    """A public implementation: a checkout is recognised by `file`, `under` is the folder to import from.

    `run` gives differences by name, or a sentence.
    """

    repository: str
    file: str
    what: str
    run: Callable[[Path], Mapping[str, float] | str]
    under: str = ""


class _Any(type):
    """What any attribute of a class below is: another such class."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Any(name, (Nothing,), {})


class Nothing(metaclass=_Any):
    """A class that takes anything and does nothing: a base, an annotation, a decorator."""

    def __init__(self, *args: Any, **given: Any) -> None:
        pass

    def __call__(self, *args: Any, **given: Any) -> Any:
        return args[0] if args else self

    def __getattr__(self, name: str) -> Any:
        return _Any(name, (Nothing,), {})


class Absent(ModuleType):
    """In place of a package that a reference imports and that is not installed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Any(name, (Nothing,), {})


@contextlib.contextmanager
def inside(root: Path, under: str = "") -> Iterator[None]:
    """The checkout (its folder `under`) on the path, an empty working folder, silence; all as before afterwards."""
    before, where, path = dict(sys.modules), os.getcwd(), list(sys.path)
    logging.disable(logging.CRITICAL)
    here = str(Path(__file__).parent)  # its scripts have names that modules of a checkout have too
    sys.path[:] = [str(root / under), *[place for place in path if place != here]]
    quiet = contextlib.redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory() as empty, quiet, contextlib.redirect_stderr(io.StringIO()):
        os.chdir(empty)
        try:
            yield
        finally:
            os.chdir(where)
            sys.path[:] = path
            logging.disable(logging.NOTSET)
            _forget(root, set(before))
            _forget_absent()


def _forget(root: Path, before: set[str]) -> None:
    """Drops the checkout's modules (a package without a file has a path)."""
    for name in set(sys.modules) - before:
        known = vars(sys.modules[name])
        path = known.get("__path__", [])  # of a package without a file it is no list, and wants its parent to be there
        places = [known.get("__file__"), *(path if isinstance(path, list) else vars(path).get("_path", []))]
        if any(str(place).startswith(f"{root}/") for place in places):
            del sys.modules[name]


def _forget_absent() -> None:
    for name in [name for name, found in sys.modules.items() if isinstance(found, Absent)]:
        del sys.modules[name]


def source(root: Path, name: str, **given: Any) -> ModuleType:
    """A module of the checkout, with some of its names replaced.

    What it imports and is not installed (loggers, plots, clouds) is replaced by an empty stand-in.
    """
    while True:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = str(error.name)
            if missing in sys.modules or (root / missing.partition(".")[0]).exists():
                raise
            sys.modules[missing] = Absent(missing)
            _forget(root, set())  # what was half imported is begun anew
        else:
            _forget_absent()  # or torch would find them too
            break
    for key, value in given.items():
        setattr(module, key, value)
    return module


def commit(root: Path) -> str:
    done = subprocess.run(["git", "-C", str(root), "rev-parse", "--short=7", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "no commit"


def _said(item: tuple[str, float]) -> str:
    """A difference with two digits; a count, or nothing at all, as it is."""
    name, value = item
    return f"{name} {value:.1e}" if isinstance(value, float) and value else f"{name} {value:.0f}"


def main(name: str, *references: Reference) -> int:
    """Compares with every reference that one of the paths of the command line is a checkout of."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    done = 0
    for root in [Path(arg).resolve() for arg in sys.argv[1:] if arg != CONTROL]:
        for reference in references:
            if not (root / reference.file).exists():
                continue
            with inside(root, reference.under):
                found = reference.run(root)
            said = found if isinstance(found, str) else f"max |Δ| {'; '.join(map(_said, found.items()))}"
            where = f"{reference.repository}@{commit(root)} {reference.file}"
            print(f"{name}: reference {where}: {reference.what}: {said}", flush=True)
            done += 1
    if not done:
        known = "; ".join(f"{r.repository} (has {r.file})" for r in references)
        print(f"{name}: give the path of a checkout of one of: {known}", file=sys.stderr)
    return 0 if done else 2
