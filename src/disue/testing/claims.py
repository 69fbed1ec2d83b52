"""Checks of what a method claims: rest without a learning rate, its identities, and that a spec can say it."""

from __future__ import annotations

import copy
import tomllib
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from disue.core.checks import IntVector
from disue.core.orders import Orders
from disue.engine.plain import PlainUploads
from disue.runs.personal import personal_models
from disue.runs.spec import Spec
from disue.testing.compare import difference, parted
from disue.testing.paced import paced
from disue.testing.play import Bed, trace, usual
from disue.testing.require import alike, require, statistics
from disue.testing.scenario import Scenario
from disue.testing.subject import AnyMethod, Identity, Subject, small

REST = 1e-20  # far below any step, far above what a rate of 1e-30 leaves of one


def rest(subject: Subject, backend: str) -> None:
    """With a learning rate of zero the group models stay where they are.

    Where something moves by design although no client does (an expert; or what `Subject.moves` names), a group's model
    is still what its members sent back, if all sent the same. Statistics such as BatchNorm's mean follow the data at
    any rate and are not looked at.
    """
    method = subject.fresh()
    bed = Bed(subject, backend=backend, method=replace(method, local=paced(method.local, lr=0.0)))
    weights = ~statistics(bed.world.layout)
    moves = bool(subject.moves) or method.expert.serves
    last: list[PlainUploads] = []

    def watched(orders: Orders, answering: IntVector) -> PlainUploads:
        uploads = bed.trained(orders, answering)
        if orders.local is not None:
            last.append(uploads)
            starts = orders.starts if orders.into is None else orders.starts[np.unique(orders.into)]
            for client, end in () if orders.own else uploads.ends.items():
                off = np.abs(starts[:, weights] - end[weights]).max(axis=1).min()
                require(off <= REST, f"in round {orders.round} client {client} moved by {off:.1e} at rate zero")
        return uploads

    bed.answer = watched
    before: Any = None
    for seen in bed.rounds():
        for at, number in enumerate(seen.groups.numbers.tolist()):
            model = seen.state.models[at][weights]
            where = f"at rate zero, in round {seen.round}, the model of group {number}"
            if before is not None and not moves and number in before.groups.numbers:
                row = int(before.groups.rows(np.array([number]))[0])
                off = float(np.abs(model - before.state.models[row][weights]).max())
                require(off <= REST, f"{where} moved by {off:.1e}")
            if before is not None and len(last) == 1:  # a survey may have moved members since
                members = set(seen.groups.members(number).tolist())
                ends = [end[weights] for client, end in last[0].ends.items() if client in members]
                if ends and all(np.abs(end - ends[0]).max() <= REST for end in ends):
                    off = float(np.abs(model - ends[0]).max())
                    require(off <= REST, f"{where} is off by {off:.1e} from what all of its members sent")
        before = seen
        last.clear()
    states = [seen.state.models for seen in usual(subject, backend)]
    moved = any(difference(a, b) for a, b in pairwise(states))
    require(moved, "at its usual rate no model moves either, so nothing was checked")


def identities(subject: Subject, backend: str) -> None:
    """What the method claims to be the same as another method is the same."""
    for claim in subject.identities:
        scenario = subject.scenario if claim.under is None else claim.under
        ours = subject.method if claim.ours is None else claim.ours
        mine, yours = (handed(subject, scenario, one, backend, claim.of) for one in (ours, claim.theirs))
        alike(_off(mine, yours, claim.within), claim.name)
        if claim.apart:
            mine, yours = (
                handed(subject, subject.scenario, m, backend, claim.of) for m in (subject.method, claim.theirs)
            )
            require(
                bool(_off(mine, yours, 2 * claim.within)),
                f"{claim.name}: the method as it stands is the same too, so the claim says nothing",
            )


def handed(subject: Subject, scenario: Scenario, method: AnyMethod, backend: str, of: str) -> list[Any]:
    """Round by round, what an identity compares."""
    bed = Bed(subject, scenario, backend=backend, method=small(copy.deepcopy(method), scenario))
    out: list[Any] = []
    for seen in bed.rounds():
        if of not in ("served", "used"):
            out.append(np.asarray(getattr(seen.state, of)))
            continue
        ids = bed.world.census.ordered
        found = bed.method.serve(bed.world, seen.state, ids)
        rows = [found.receives, *([] if found.group is None else [found.group])]
        if of == "used":
            own = personal_models(bed.engine, bed.setup, seen.state, ids)
            received = dict(zip(ids.tolist(), found.models[found.receives], strict=True))
            out.append(np.stack([{**received, **own}[i] for i in ids.tolist()]))
        else:
            out.append(np.concatenate([found.models[row] for row in rows]))
    return out


def _off(ours: list[Any], theirs: list[Any], within: float) -> str:
    """Where two lists of arrays part by more than `within`; "" where they do not."""
    for round, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if not within:
            why = difference(a, b, "what is compared")
        elif a.shape != b.shape:
            why = f"what is compared is {a.shape} and {b.shape}"
        else:
            off = float(np.abs(a.astype(np.float64) - b).max(initial=0.0))
            why = "" if off <= within else f"off by {off:.1e} where {within:.0e} is allowed"
        if why:
            return f"after round {round} {why}"
    return ""


def toml(subject: Subject, backend: str) -> None:
    """A spec of the method, written as TOML and read again, is the same spec, method and run."""
    assert subject.tables is not None
    with subject.listing():
        spec = Spec.of({**subject.scenario.tables(), **subject.tables})
        text = spec.toml()
        again = Spec.of(tomllib.loads(text))
        alike(difference(again.tables(), spec.tables(), "spec"), "the spec that was written and read is another")
        require(again.toml() == text, "the spec that was read is written in other words")
        first, second = spec.build(), again.build()
        require(repr(first) == repr(second), f"the method that was read is another: {second!r}, expected {first!r}")
        ours, theirs = (trace(replace(subject, method=one), backend=backend) for one in (first, second))
    alike(parted(ours, theirs), "the run of the spec that was read differs")


__all__ = ["Identity", "identities", "rest", "toml"]
