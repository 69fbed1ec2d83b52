"""A federated method as a value made of pure functions, and the five slots that one is composed of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np

from disue.core.checks import Array, IntMatrix, IntVector, Matrix, Vector
from disue.core.groups import Groups
from disue.core.layout import Part
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World

S = TypeVar("S")
M = TypeVar("M")
NONE: frozenset[Sight] = frozenset()
CLOSING = "closing"  # the stream of the exchange that an expert asks for after a round


@dataclass(frozen=True, eq=False)
class Info:
    """What a round wants to say; the next round does not need it.

    values  numbers for rounds.csv      notes   sentences for the run's log
    arrays  things to draw: "similarity" (n, n) with "similarity_ids" (n,), "samples" (pseudo-inputs) …; and whom the
            expert was distilled from, to be scored beside it: "teacher_models" (k, d) with "teacher_weights"
            (k, classes), and any "teacher_logits" where logits are mixed, not probabilities
    average what the expert started from, for the honest before and after
    """

    values: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    arrays: Mapping[str, Array] = field(default_factory=dict)

    def __add__(self, other: Info) -> Info:
        return Info({**self.values, **other.values}, self.notes + other.notes, {**self.arrays, **other.arrays})


@dataclass(frozen=True, eq=False)
class Told(Generic[S]):
    """`state` is what the next round needs; `then` asks for a further exchange before the next round."""

    state: S
    info: Info = Info()
    then: Orders | None = None


@dataclass(frozen=True, eq=False)
class Served:
    """What clients get for use, as rows of a few distinct vectors.

    models    (m, d)
    receives  (n,) row of what each client receives next
    group     (n,) row of its group's model, None where the method has no groups
    expert, average  rows, None where the method has no expert
    scale     the factor s of the expert's head: a client adds log-shares to logits / s
    whole     False: clients keep entries to themselves, so none of the rows is a model that somebody uses
    """

    models: Matrix
    receives: IntVector
    group: IntVector | None = None
    expert: int | None = None
    average: int | None = None
    scale: float = 1.0
    whole: bool = True


class Method(Protocol[S]):
    """init → (ask → clients → tell)*: the same state gives the same orders, and no input is changed."""

    @property
    def sight(self) -> frozenset[Sight]: ...
    def init(self, world: World, start: Vector) -> Told[S]: ...
    def ask(self, world: World, state: S, cohort: IntVector) -> Orders: ...
    def tell(self, world: World, state: S, orders: Orders, uploads: Uploads) -> Told[S]: ...
    def serve(self, world: World, state: S, ids: IntVector) -> Served: ...
    def standing(self, state: S) -> Groups | None:
        """The groups as they stand, for the record; None where the method has none."""
        ...


# -- the five slots ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class View:
    """The part of the state that slots may look at. Rows of `models` follow `groups.numbers`."""

    round: int
    groups: Groups
    models: Matrix
    average: Vector
    expert: Vector | None


@dataclass(frozen=True, eq=False)
class Chosen:
    """A start part's answer: distinct vectors and each client's rows (see `Orders`)."""

    starts: Matrix
    which: IntMatrix
    into: IntMatrix | None = None
    own: bool = False


class Start(Protocol):
    """What does each client start from?"""

    @property
    def sight(self) -> frozenset[Sight]: ...
    @property
    def choice(self) -> str:
        """How clients choose among several starts: "none", "loss" or "shares"."""
        ...

    def common(self, view: View) -> bool:
        """Whether everybody starts from one vector by construction (momentum is then one buffer)."""
        ...

    def choose(self, world: World, view: View, ids: IntVector) -> Chosen: ...


@dataclass(frozen=True, eq=False)
class Assigned(Generic[M]):
    groups: Groups
    memory: M
    info: Info = Info()


class Grouping(Protocol[M]):
    """Who belongs together?"""

    @property
    def sight(self) -> frozenset[Sight]: ...
    @property
    def parts(self) -> tuple[Part, ...]:
        """Parts of the update whose similarity it will ask for."""
        ...

    def init(self, world: World) -> Assigned[M]: ...
    def survey(self, world: World, round: int) -> IntVector | None:
        """Clients to be surveyed (one epoch, updates used for grouping only) before `round`; usually None.

        A part with a `probe` (see `Orders`) surveys data instead: of these clients those that have no group yet.
        """
        ...

    def assign(
        self, world: World, groups: Groups, memory: M, orders: Orders, uploads: Uploads, *, survey: bool
    ) -> Assigned[M]: ...


@dataclass(frozen=True, eq=False)
class Merged(Generic[M]):
    """Group models (rows follow groups.numbers) and their average."""

    models: Matrix
    average: Vector
    memory: M
    info: Info = Info()


class Aggregate(Protocol[M]):
    """How do the members' updates become the group's model?

    An aggregate may offer besides:
    check(cohort)   raises where cohorts of so many clients are too few for it
    """

    @property
    def sight(self) -> frozenset[Sight]: ...
    @property
    def weights(self) -> str:
        """ "samples" or "uniform"."""
        ...

    def init(self, world: World, start: Vector, groups: Groups) -> M: ...
    def merge(
        self,
        world: World,
        memory: M,
        before: View,
        groups: Groups,
        orders: Orders,
        uploads: Uploads,
        *,
        common: bool,
    ) -> Merged[M]: ...


@dataclass(frozen=True, eq=False)
class Made(Generic[M]):
    expert: Vector | None
    memory: M
    info: Info = Info()


@dataclass(frozen=True, eq=False)
class Making:
    """What an expert is made from: `sent` is the vector all members started from, None where they differ."""

    round: int
    sent: Vector | None
    before: View
    groups: Groups  # with the members that answered only
    models: Matrix  # rows follow groups.numbers
    average: Vector
    uploads: Uploads


class Expert(Protocol[M]):
    """What do all groups know together?

    An expert may offer besides:
    for_use                         True: clients use it, and nothing starts from it
    closing(world, round, average)  what it asks of any clients after `round` rounds, of the stream `CLOSING`, or None
    close(world, memory, making)    the expert made of their answers, in place of what `make` gave
    done(round, memory)             whether training is over after `round` rounds: nobody is asked to train any more
    """

    @property
    def sight(self) -> frozenset[Sight]: ...
    def init(self, world: World, start: Vector) -> M: ...
    def make(self, world: World, memory: M, making: Making) -> Made[M]: ...
    def head_scale(self, memory: M) -> float:
        """The factor of the expert's head (1 unless it is a scaled discriminant)."""
        ...

    @property
    def serves(self) -> bool:
        """False where there is no expert at all (the average is then not reported beside it)."""
        ...


def inherit(rows: Matrix, before: Groups, after: Groups, otherwise: Vector) -> Matrix:
    """Rows of arrays that follow `before.numbers`, re-arranged to follow `after.numbers`.

    A group that is new takes its parent's row, and its parent's parent's …; without one, `otherwise`.
    """
    out = np.empty((after.numbers.size, rows.shape[1]), rows.dtype)
    parents = after.parent_of()
    known = {int(number): row for row, number in enumerate(before.numbers)}
    for row, number in enumerate(after.numbers.tolist()):
        at: int = number
        while at not in known and at != -1:
            at = parents.get(at, -1)
        out[row] = rows[known[at]] if at in known else otherwise
    return out
