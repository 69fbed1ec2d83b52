"""Methods with one fault each, as they are really made; the checks must name it. At the top of a module, so that they
can be sent to other processes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from disue.core.checks import IntVector
from disue.core.clients import Batch, Context, Finished, Local, Memory, Order, Phase
from disue.core.groups import Groups
from disue.core.method import Assigned, View
from disue.core.orders import Sight
from disue.core.uploads import Gram
from disue.core.world import World
from disue.methods._template import BySize, Sizes, by_size
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import Bipartition, OneGroup
from disue.parts.local import Erm
from disue.parts.local.erm import MODEL, Fit
from disue.parts.start import FromGroup


def method(**parts: Any) -> Composed[Any, Any, Any]:
    """One model for all, with the faulty part in its slot."""
    sound = {"start": FromGroup(), "local": Erm(), "grouping": OneGroup(), "aggregate": Mean(), "expert": NoExpert()}
    return Composed(**{**sound, **parts})


# -- groups -------------------------------------------------------------------------------------------------


class Positions(BySize):
    """Runs of the sorted table are stored as they come out of it: as places."""

    def init(self, world: World) -> Assigned[Sizes]:
        runs = np.array_split(np.argsort(world.census.sizes, kind="stable"), self.k)
        return Assigned(Groups.make({int(i): number for number, run in enumerate(runs) for i in run}), Sizes(self.k))


class ByPlace(BySize):
    """Right ids, sorted into groups by their place in the table."""

    def init(self, world: World) -> Assigned[Sizes]:
        return Assigned(Groups.make({int(i): at % 2 for at, i in enumerate(world.census.ids)}), Sizes(2))


class ByName(BySize):
    """Even ids and odd ids."""

    def init(self, world: World) -> Assigned[Sizes]:
        return Assigned(Groups.make({int(i): int(i) % 2 for i in world.census.ids}, [0, 1]), Sizes(2))


class Restless(BySize):
    """Every round all clients are grouped anew, those who did not answer too."""

    def assign(self, world: World, groups: Groups, memory: Sizes, orders: Any, uploads: Any, *, survey: bool) -> Any:
        ids = np.sort(world.census.ids)
        return Assigned(groups.assign({int(i): (at + orders.round) % 2 for at, i in enumerate(ids)}), memory)


class Vanishing(BySize):
    """Who did not answer is dropped from the groups."""

    def assign(self, world: World, groups: Groups, memory: Sizes, orders: Any, uploads: Any, *, survey: bool) -> Any:
        return Assigned(groups.among(uploads.ids), memory)


@dataclass(frozen=True)
class PlacesInGroup(Bipartition):
    """The fault of the public copies of CFL: what a split yields are places within the group, taken as clients."""

    eps1: float = 1e6
    eps2: float = 0.0
    after: int = 0

    def _parts(self, gram: Gram, world: World) -> list[IntVector]:
        known = np.sort(world.census.ids)
        at = np.arange(gram.ids.size)
        return [known[part] for part in np.array_split(at, 2)]


class Leaving(BySize):
    """A split written by hand: the second half of the children's members comes from the other group."""

    def init(self, world: World) -> Assigned[Sizes]:
        ids = np.sort(world.census.ids)
        return Assigned(Groups.make({int(i): at % 2 for at, i in enumerate(ids)}), Sizes(2))

    def assign(self, world: World, groups: Groups, memory: Sizes, orders: Any, uploads: Any, *, survey: bool) -> Any:
        if orders.round:
            return Assigned(groups, memory)
        ids = groups.ids
        of = np.where(np.arange(ids.size) < ids.size // 2, 2, 3)
        out = Groups(ids, of, np.array([2, 3]), np.array([0, 1]), 4, np.array([[0, -1], [1, -1]]))
        return Assigned(out, memory)


class Crowded(BySize):
    """As many groups as there are clients, less one: of one client it makes none."""

    def init(self, world: World) -> Assigned[Sizes]:
        k = world.census.ids.size - 1
        return Assigned(Groups.make({int(i): at % k for at, i in enumerate(np.sort(world.census.ids))}), Sizes(k))


# -- bits ---------------------------------------------------------------------------------------------------


class Shaken(Mean):
    """Noise of numpy's global generator."""

    def merge(self, *given: Any, **named: Any) -> Any:
        out = super().merge(*given, **named)
        noise = np.random.normal(0, 1e-4, out.models.shape).astype(np.float32)  # noqa: NPY002
        return replace(out, models=out.models + noise)


class Hashed(Mean):
    """Adds up tensors in the order of a set of their names, which is another in every process."""

    def merge(self, world: World, *given: Any, **named: Any) -> Any:
        out = super().merge(world, *given, **named)
        names = {entry.name for entry in world.layout.entries} | {f"spare{i}" for i in range(20)}
        first = np.float32(sorted(names).index(next(iter(names)))) * np.float32(1e-3)
        return replace(out, models=out.models + first, average=out.average + first)


class Hidden(Mean):
    """Server momentum that is kept in the part itself, where no checkpoint sees it."""

    def merge(self, world: World, *given: Any, **named: Any) -> Any:
        out = super().merge(world, *given, **named)
        before = self.__dict__.get("last", out.models)
        object.__setattr__(self, "last", out.models)
        return replace(out, models=(out.models + np.float32(0.5) * (out.models - before)).astype(np.float32))


class Rotting(Mean):
    """Weight decay on the server: models shrink, whatever clients do."""

    def merge(self, *given: Any, **named: Any) -> Any:
        out = super().merge(*given, **named)
        return replace(out, models=out.models * np.float32(0.99))


class Spread(Mean):
    """Divides by the deviation over clients: nothing is left to divide by where one client answers."""

    def merge(
        self, world: World, memory: Any, before: View, groups: Groups, orders: Any, uploads: Any, **n: Any
    ) -> Any:
        out = super().merge(world, memory, before, groups, orders, uploads, **n)
        with np.errstate(all="ignore"):
            unit = 0 * np.float32(1.0) / np.float32(uploads.ids.size - 1)
        return replace(out, models=(out.models + unit).astype(np.float32))


@dataclass(frozen=True)
class Lingering(Composed[Any, Any, Any]):
    """Models fade in a round that nobody answers."""

    def tell(self, world: World, state: Any, orders: Any, uploads: Any) -> Any:
        told = super().tell(world, state, orders, uploads)
        if uploads.ids.size:
            return told
        return replace(told, state=replace(told.state, models=told.state.models * np.float32(0.9)))


class Unguarded(Mean):
    """Means of groups without asking whether anybody of a group was there."""

    def merge(
        self, world: World, memory: Any, before: View, groups: Groups, orders: Any, uploads: Any, **n: Any
    ) -> Any:
        out, sums = super().merge(world, memory, before, groups, orders, uploads, **n), uploads.sums(groups)
        origin = 0.0 if orders.origin is None else orders.origin
        with np.errstate(all="ignore"):
            return replace(out, models=(origin + sums.totals / sums.weights[:, None]).astype(np.float32))


class Balanced(Mean):
    """Weighs by how evenly classes occur, which is no number where only one does."""

    sight: ClassVar[frozenset[Sight]] = frozenset({Sight.SUMS, Sight.LABELS})

    def merge(
        self, world: World, memory: Any, before: View, groups: Groups, orders: Any, uploads: Any, **n: Any
    ) -> Any:
        out = super().merge(world, memory, before, groups, orders, uploads, **n)
        present = np.count_nonzero(uploads.labels(groups).sum(axis=0))
        with np.errstate(all="ignore"):
            unit = 0 * np.float32(1.0) / np.log(np.float32(present))
        return replace(out, average=(out.average + unit).astype(np.float32))


@dataclass(frozen=True)
class Nudged(Mean):
    """Every model is a little too large."""

    by: float = 0.0

    def __init__(self, by: float) -> None:
        super().__init__()
        object.__setattr__(self, "by", by)

    def merge(self, *given: Any, **named: Any) -> Any:
        out = super().merge(*given, **named)
        return replace(out, models=out.models + np.float32(self.by))


@dataclass(frozen=True)
class Counting(Composed[Any, Any, Any]):
    """Counts in itself how often it has served, and lets that into its models."""

    def serve(self, world: World, state: Any, ids: IntVector) -> Any:
        object.__setattr__(self, "times", self.__dict__.get("times", 0) + 1)
        return super().serve(world, state, ids)

    def tell(self, world: World, state: Any, orders: Any, uploads: Any) -> Any:
        told = super().tell(world, state, orders, uploads)
        shift = np.float32(1e-3 * self.__dict__.get("times", 0))
        return replace(told, state=replace(told.state, models=told.state.models + shift))


class Writing(Mean):
    """Adds the step to the models that it was given."""

    def merge(
        self, world: World, memory: Any, before: View, groups: Groups, orders: Any, uploads: Any, **n: Any
    ) -> Any:
        out = super().merge(world, memory, before, groups, orders, uploads, **n)
        before.models[...] = out.models
        return out


class FirstComes(Mean):
    """The client that stands first in the orders counts for more."""

    def merge(
        self, world: World, memory: Any, before: View, groups: Groups, orders: Any, uploads: Any, **n: Any
    ) -> Any:
        out = super().merge(world, memory, before, groups, orders, uploads, **n)
        extra = np.float32(1e-6) * np.float32(orders.ids[0])
        return replace(out, models=out.models + extra)


# -- clients ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InPlace(Erm):
    """Counts its visits in the very array that it was given: a survey, which keeps no memories, counts then too."""

    keeps: ClassVar[int] = 1

    def context(self, order: Order, memory: Memory) -> Context:
        kept = memory.get("visits", np.zeros_like(order.start))
        if kept.base is not None:
            kept.base[...] += 1
        return Context({MODEL: order.start}, {"visits": kept.copy()})

    def finish(self, ends: Mapping[str, Any], steps: int, context: Context, order: Order) -> Finished:
        visits = context.fixed["visits"]
        return Finished(ends[MODEL] + np.float32(1e-3) * visits, memory={"visits": visits})


@dataclass(frozen=True)
class Bessel(Erm):
    """Divides by the samples less one."""

    def finish(self, ends: Mapping[str, Any], steps: int, context: Context, order: Order) -> Finished:
        with np.errstate(all="ignore"):
            unit = 0 * np.float32(1.0) / np.float32(order.size - 1)
        return Finished(ends[MODEL] + unit)


@dataclass(frozen=True)
class Secretive(Erm):
    """Keeps its last model and does not say so."""

    def finish(self, ends: Mapping[str, Any], steps: int, context: Context, order: Order) -> Finished:
        return Finished(ends[MODEL], memory={"last": ends[MODEL]})


@dataclass(frozen=True)
class OfBatch(Fit):
    """A loss that looks at the batch as a whole and is declared to be a mean over samples."""

    separable: ClassVar[bool] = True  # type: ignore[misc]

    def loss(self, forward: Any, batch: Batch, context: Any) -> Any:
        logits, _ = forward(batch.inputs)
        plain = super().loss(forward, batch, context)
        return plain + 0.1 * logits.mean(dim=0).square().sum()


@dataclass(frozen=True)
class WrongPull(Fit):
    """What is compiled pulls the other way."""

    def correct(self, gradient: Any, weights: Any, context: Any) -> Any:
        return gradient + 0.5 * weights

    def pull(self, context: Any) -> Any:
        import torch

        return -0.5, torch.zeros(())


@dataclass(frozen=True)
class Phased(Erm):
    """`Erm` with another phase."""

    kind: type[Fit] = Fit

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (self.kind(self.sgd, self.loss),)


# -- specs --------------------------------------------------------------------------------------------------

_count = itertools.count(1)


def counted(local: Local = Erm(), k: int = 2) -> Composed[Any, Any, Any]:
    """Every method that is built has other weights of its balance: the settings do not say the method.

    k  number of groups
    """
    return replace(by_size(local, k), aggregate=Mean(balance=1.0 / next(_count)))
