"""Checks of what a method claims: rest without a learning rate, its identities, and that a spec can say it."""

from __future__ import annotations

import copy
import tomllib
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from disue.core.checks import Array, IntVector, Mask
from disue.core.orders import Orders
from disue.engine.plain import PlainUploads
from disue.runs.personal import personal_models
from disue.runs.spec import Spec
from disue.testing.compare import difference, parted
from disue.testing.paced import paced
from disue.testing.play import Bed, Seen, trace, usual
from disue.testing.require import alike, require, statistics
from disue.testing.scenario import Scenario
from disue.testing.subject import AnyMethod, Subject, small

REST = 1e-20  # far below any step, far above what a rate of 1e-30 leaves of one


def rest(subject: Subject, backend: str) -> None:
    """With a learning rate of zero the group models stay where they are.

    An expert moves by design, and what starts from it with it: there a group's model is still what its members sent
    back, where all sent the same. Where the server moves models in another way (`Subject.moves`), clients alone are
    looked at, and that something moves. Statistics such as BatchNorm's mean follow the data at any rate: they do not
    count.
    """
    method = subject.fresh()
    bed = Bed(subject, backend=backend, method=replace(method, local=paced(method.local, lr=0.0)))
    weights = ~statistics(bed.world.layout)
    sent: list[PlainUploads] = []

    def watched(orders: Orders, answering: IntVector) -> PlainUploads:
        uploads = bed.trained(orders, answering)
        if orders.local is not None:
            sent.append(uploads)
            starts = orders.starts if orders.into is None else orders.starts[np.unique(orders.into)]
            for client, end in () if orders.own else uploads.ends.items():
                off = np.abs(starts[:, weights] - end[weights]).max(axis=1).min()
                require(off <= REST, f"in round {orders.round} client {client} moved by {off:.1e} at rate zero")
        return uploads

    bed.answer = watched
    rounds = bed.rounds()
    before, moved = next(rounds), 0.0
    sent.clear()
    for seen in rounds:
        for number in seen.groups.numbers.tolist():
            model = _model(seen, number, weights)
            where = f"at rate zero, in round {seen.round}, the model of group {number}"
            if number in before.groups.numbers:
                off = _apart(model, _model(before, number, weights))
                moved = max(moved, off)
                require(off <= REST or bool(subject.moves) or method.expert.serves, f"{where} moved by {off:.1e}")
            if not subject.moves and len(sent) == 1:  # after a survey members may be others
                ends = [sent[0].ends[i][weights] for i in seen.groups.members(number).tolist() if i in sent[0].ends]
                if ends and all(_apart(end, ends[0]) <= REST for end in ends):
                    off = _apart(model, ends[0])
                    require(off <= REST, f"{where} is off by {off:.1e} from what all of its members sent")
        before = seen
        sent.clear()
    require(not subject.moves or moved > REST, f"{subject.moves} is said to move at rate zero, and nothing does")
    states = [seen.state.models for seen in usual(subject, backend)]
    trained = any(difference(a, b) for a, b in pairwise(states))
    require(trained, "at its usual rate no model moves either, so nothing was checked")


def _model(seen: Seen, number: int, entries: Mask) -> Array:
    """Some entries of a group's model."""
    found: Array = seen.state.models[int(seen.groups.rows(np.array([number]))[0])][entries]
    return found


def _apart(one: Array, other: Array) -> float:
    return float(np.abs(one - other).max(initial=0.0))


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
