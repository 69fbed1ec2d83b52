"""What has to be scored: distinct models, who is tested on which, and the door to the test data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np

from disue.core.checks import Array, Float64, IntMatrix, IntVector, Matrix, Vector
from disue.core.method import Served
from disue.evaluation.local import shares_of

K = TypeVar("K")
On: TypeAlias = Literal["test", "validation"]
Own: TypeAlias = Literal["held", "validation", "natural"]
Pair: TypeAlias = tuple[Array, IntVector]
OWN, PERSONAL, RECEIVED = "own", "personal", "received"


class TestBed(Protocol[K]):
    """The test data of clients; `disue.data.Federation` is one. K is a hashable name of an input transform."""

    @property
    def classes(self) -> int: ...
    @property
    def local_test(self) -> str:
        """ "proportional", "split", "both", "natural" or "global"."""
        ...

    def transform_key(self, client: int) -> K: ...
    def pool(self, key: K, *, on: On) -> Pair:
        """Inputs (n, …) and labels (n,) of the global test or validation set as such clients see it."""
        ...

    def label_counts(self, client: int) -> IntVector: ...
    def held(self, client: int) -> Pair: ...
    def natural_test(self, client: int) -> Pair: ...
    def validation_of(self, client: int) -> Pair: ...


@runtime_checkable
class Columns(Protocol[K]):
    """What a test bed may offer besides: the same for many clients at once, without a call for each.

    kind is "held", "validation" or "natural"; `own_tests` gives the clients' samples one after the other.
    """

    def label_table(self, clients: IntVector) -> IntMatrix: ...
    def by_transform(self, clients: IntVector) -> list[tuple[K, IntVector]]: ...
    def own_sizes(self, clients: IntVector, kind: Own) -> IntVector: ...
    def own_tests(self, clients: IntVector, kind: Own) -> Pair: ...


@dataclass(frozen=True, eq=False)
class View:
    """One model per client under a name: `group`, `expert`, `average`, `served` or `received`; rows of Plan.models."""

    name: str
    rows: IntVector
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Plan:
    """All that both kinds of test share.

    models  the distinct models by row              ids     (n,) the clients
    views   who is tested on which model            counts  (n, classes) training labels; shares: of each row
    owned   "own": position in `ids` → a client's own end model; "personal": → the model it uses itself
    """

    models: Mapping[int, Vector]
    ids: IntVector
    views: tuple[View, ...]
    counts: IntMatrix
    shares: Float64
    owned: Mapping[str, Mapping[int, Vector]]

    def columns(self) -> dict[str, Float64]:
        """Empty columns (n,) for all that a local test gives."""
        names = [f"{view.name}{word}" for view in self.views for word in ("_local", "_prior_local")]
        names += ["majority_local", *(f"{name}_local" for name, models in self.owned.items() if models)]
        return {name: np.full(self.ids.size, np.nan) for name in names}


def distinct(models: Matrix, used: Iterable[int]) -> dict[int, int]:
    """Row → the first row with the same bytes, for the rows in use."""
    first: dict[bytes, int] = {}
    return {
        row: first.setdefault(hashlib.sha256(np.ascontiguousarray(models[row]).tobytes()).digest(), row)
        for row in sorted(set(used))
    }


def renamed(same: Mapping[int, int], rows: IntVector) -> IntVector:
    """`rows` (n,) with each row replaced by the distinct one."""
    used, which = np.unique(rows, return_inverse=True)
    return np.array([same[row] for row in used.tolist()], np.int64)[which.reshape(rows.shape)]


def plan_of(
    served: Served,
    ids: IntVector,
    clients: TestBed[K],
    own: Mapping[int, Vector],
    personal: Mapping[int, Vector],
    *,
    receiving: bool = False,
) -> tuple[Plan, dict[int, int]]:
    """The plan of an evaluation, and the map of rows in use to distinct rows."""
    counts = _counts(ids, clients)
    place = {client: at for at, client in enumerate(ids.tolist())}
    owned = {
        name: {place[client]: vector for client, vector in sorted(models.items()) if client in place}
        for name, models in ((OWN, own if served.whole else {}), (PERSONAL, personal))
    }
    if not served.whole:
        return Plan({}, ids, (), counts, shares_of(counts), owned), {}
    single = [row for row in (served.expert, served.average) if row is not None]
    group = [] if served.group is None else np.unique(served.group).tolist()
    same = distinct(served.models, [*np.unique(served.receives).tolist(), *group, *single])
    views: list[View] = []
    if served.group is not None:
        views.append(View("group", renamed(same, served.group)))
    if served.expert is not None:
        views.append(View("expert", np.full(ids.size, same[served.expert], np.int64), served.scale))
    if served.average is not None:
        views.append(View("average", np.full(ids.size, same[served.average], np.int64)))
    if not views:
        views.append(View("served", renamed(same, served.receives)))
    if receiving:
        views.append(View(RECEIVED, renamed(same, served.receives)))
    models = {row: served.models[row] for row in sorted(set(same.values()))}
    return Plan(models, ids, tuple(views), counts, shares_of(counts), owned), same


def _counts(ids: IntVector, clients: TestBed[K]) -> IntMatrix:
    if isinstance(clients, Columns):
        return clients.label_table(ids)
    rows = [clients.label_counts(i) for i in ids.tolist()]
    return np.array(rows, np.int64).reshape(ids.size, clients.classes)
