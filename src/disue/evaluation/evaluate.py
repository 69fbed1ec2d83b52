"""One evaluation: everything that a method serves, on the global test set and on every client's own test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from disue.core.checks import Float64, IntVector, Vector, positions
from disue.core.errors import UserError, unknown
from disue.core.method import Served
from disue.core.streams import Streams
from disue.core.world import Network
from disue.evaluation.held import held
from disue.evaluation.local import spreads
from disue.evaluation.plan import PERSONAL, RECEIVED, On, TestBed, plan_of, renamed
from disue.evaluation.pooled import Teachers, pooled

__all__ = ["Evaluation", "Teachers", "TestBed", "evaluate", "hundred"]

K = TypeVar("K")
MOST = 100  # clients that are looked at where every client has a model of its own
POOLED = ("proportional", "both", "global")
OWN = ("split", "both", "natural")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation found, in percent.

    metrics  by name; one that does not apply is absent, never zero. `own_clients`, `personal_clients` are counts.
    ids      (n,) the clients      clients  columns (n,) of local accuracy by name, NaN where a client has none
    """

    metrics: Mapping[str, float]
    ids: IntVector
    clients: Mapping[str, Float64]


def evaluate(
    network: Network,
    served: Served,
    ids: IntVector,
    clients: TestBed[K],
    own: Mapping[int, Vector] | None = None,
    personal: Mapping[int, Vector] | None = None,
    *,
    teachers: Teachers | None = None,
    on: On = "test",
    streams: Streams = Streams(0),
    draw: int = 200,
    receiving: bool = False,
) -> Evaluation:
    """Scores what `served` hands to the clients `ids` (in its order).

    own       the end models of the last cohort by id      teachers  what the expert was distilled from
    personal  the models that clients use themselves, by id, where their local part makes one
    draw      test samples for a client's own end model, of which a personal model takes 1,000 at least; 0 takes the
              whole pool
    receiving whether clients get a column `received_local` too, of what each receives

    Global: `served_global` (mean over clients of what each receives; over a fixed hundred of them where more
    than a hundred models are served), `expert_global`, `average_global`, `expert_effect`, `teachers_global`
    (argmax of Σ_g weight_{g,c} p_g(c | x), renormalised, or of the logits' mixture where that is what teaches:
    without a label the class weights apply to the class that a teacher speaks of). Local: group_, expert_,
    average_, each also as …_prior_local, majority_local, own_local with its count `own_clients`, personal_local
    (with `personal_clients` where not every client has one); a method with neither groups nor expert has
    served_local. Each with _p10, _p50, _worst over clients. Where a client's test is both proportional and split,
    names of the latter end in `_split` (before the percentile). The scale of the head applies to the expert only.

    Where `served` is not whole, nobody uses a vector that is served: `served_global` is then the mean of the personal
    models, and figures of the group, the expert, the average and clients' ends are absent.
    """
    _check(served, ids, clients, on)
    plan, same = plan_of(served, ids, clients, own or {}, personal or {}, receiving=receiving)
    received = _received(served, ids, same, streams) if served.whole else ids[:0]
    rows = {"expert": served.expert, "average": served.average} if served.whole else {}
    single = {name: same[row] for name, row in rows.items() if row is not None}
    kind = clients.local_test
    found = pooled(
        network,
        plan,
        clients,
        [*received.tolist(), *single.values()],
        teachers,
        local=kind in POOLED,
        on=on,
        streams=streams,
        draw=draw,
        by_client=not served.whole,
    )
    metrics: dict[str, float] = {}
    if received.size:
        metrics["served_global"] = float(np.mean([found.of_row[row] for row in received.tolist()]))
    elif found.of_client:
        metrics["served_global"] = float(np.mean(list(found.of_client.values())))
    for name, row in single.items():
        metrics[f"{name}_global"] = found.of_row[row]
    if len(single) == 2:
        metrics["expert_effect"] = metrics["expert_global"] - metrics["average_global"]
    if found.teachers is not None:
        metrics["teachers_global"] = found.teachers
    columns = dict(found.columns)
    if kind in OWN:
        suffix = "_split" if kind == "both" else ""
        own_tests = held(network, plan, clients, on=on)
        columns.update({f"{name}{suffix}": values for name, values in own_tests.items()})
    metrics.update(spreads({name: values for name, values in columns.items() if not name.startswith(RECEIVED)}))
    for name, models in plan.owned.items():
        if models and (name != PERSONAL or len(models) < ids.size):
            metrics[f"{name}_clients"] = float(len(models))
    return Evaluation(metrics, ids, columns)


def _received(served: Served, ids: IntVector, same: Mapping[int, int], streams: Streams) -> IntVector:
    """The distinct row that each client receives; of a fixed hundred clients where they receive more."""
    rows = renamed(same, served.receives)
    if np.unique(rows).size <= MOST:
        return rows
    return rows[positions(hundred(ids, streams), ids)]


def hundred(ids: IntVector, streams: Streams) -> IntVector:
    """All of `ids`, ascending, or the same hundred of them in every evaluation of a run."""
    ordered = np.sort(ids)
    if ids.size <= MOST:
        return ordered
    return ordered[np.sort(streams("evaluate-served").permutation(ids.size)[:MOST])]


def _check(served: Served, ids: IntVector, clients: TestBed[K], on: str) -> None:
    if on not in ("test", "validation"):
        raise unknown("evaluate.on", on, ("test", "validation"))
    if clients.local_test not in (*POOLED, *OWN):
        raise unknown("evaluate.local_test", clients.local_test, {*POOLED, *OWN})
    if served.receives.shape != ids.shape:
        raise UserError(
            f"served.receives: expected one row for each of {ids.size} clients, got {served.receives.shape}",
            key="served.receives",
            found=served.receives.shape,
        )
