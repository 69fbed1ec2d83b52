"""Checks of groups, and of federations that are hardly one."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from disue.core.groups import UNKNOWN, Groups
from disue.testing.compare import difference
from disue.testing.play import Bed, Seen
from disue.testing.require import alike, require, sound
from disue.testing.scenario import Scenario
from disue.testing.subject import Subject


def partition(subject: Subject, backend: str) -> None:
    """After every round the groups partition the clients, the state is finite, and everybody can be served."""
    bed = Bed(subject, backend=backend)
    before: Seen | None = None
    for seen in bed.rounds():
        sound(bed, seen)
        if before is not None:
            lost = before.groups.ids[~np.isin(before.groups.ids, seen.groups.ids)]
            require(not lost.size, f"in round {seen.round} client {lost[:1].tolist()} vanished from the groups")
        before = seen


def lineage(subject: Subject, backend: str) -> None:
    """A group that is born comes from its parent: the children of a split share out the members of the parent."""
    bed = Bed(subject, backend=backend)
    seen = list(bed.rounds())
    depth: dict[int, int] = {}
    for before, after in pairwise(seen):
        _descends(subject, before.groups, after.groups, f"in round {after.round}", depth)
    if subject.splits:
        deepest = max(depth.values(), default=0)
        require(deepest > 1, f"no child of a split was split again (depth {deepest}), so nothing was checked")


def _descends(subject: Subject, before: Groups, after: Groups, at: str, depth: dict[int, int]) -> None:
    """Checks the groups that were born between two rounds, and notes how deep each stands in its tree."""
    parents, old = after.parent_of(), set(before.numbers.tolist())
    gone = set(before.parent_of()) - old
    for number in after.numbers.tolist():
        if number in old:
            continue
        parent = parents.get(number, -1)
        require(number not in gone, f"{at} number {number} is used again, which was another group's before")
        while parent not in old and parent != -1:  # born and split within the round
            parent = parents.get(parent, -1)
        depth[number] = depth.get(parent, 0) + 1
        members = after.members(number)
        came = before.at(members)
        placed = members[came != UNKNOWN]
        if parent == -1 or not placed.size:
            continue
        strange = placed[came[came != UNKNOWN] != parent]
        held = strange.size < placed.size if subject.regroups else not strange.size
        require(held, f"{at} group {number} is a child of {parent} and holds {strange.tolist()}, who were not in it")
    if subject.regroups:
        return
    for number in sorted(old - set(after.numbers.tolist())):
        heirs = after.at(before.members(number))
        away = [g for g in np.unique(heirs).tolist() if not _below(g, number, parents)]
        require(not away, f"{at} group {number} is no more, and some of its members are in {away}, no children of it")


def _below(number: int, above: int, parents: dict[int, int]) -> bool:
    while number not in (above, -1):
        number = parents.get(number, -1)
    return number == above


# -- degenerate federations ----------------------------------------------------------------------------------


def _lives(subject: Subject, backend: str, scenario: Scenario) -> list[Seen]:
    """Plays the scenario and looks at every round."""
    bed = Bed(subject, scenario, backend=backend)
    seen = []
    for one in bed.rounds():
        sound(bed, one)
        seen.append(one)
    return seen


def one_client(subject: Subject, backend: str) -> None:
    """A federation of one client."""
    _lives(subject, backend, subject.scenario.few(1))


def one_class(subject: Subject, backend: str) -> None:
    """A federation in which a single class occurs; and one in which every client has a class to itself."""
    for labels in ("one", "pure"):
        _lives(subject, backend, replace(subject.scenario, labels=labels))


def one_sample(subject: Subject, backend: str) -> None:
    """Clients that hold a single sample, beside others."""
    sizes = tuple(1 if at % 3 == 0 else size for at, size in enumerate(subject.scenario.sizes))
    _lives(subject, backend, replace(subject.scenario, sizes=sizes))


def empty_group(subject: Subject, backend: str) -> None:
    """Groups of which nobody is there: cohorts of one, and clients that are all alike."""
    for scenario in alone_and_alike(subject.scenario):
        _lives(subject, backend, scenario)


def alone_and_alike(scenario: Scenario) -> tuple[Scenario, Scenario]:
    """Three clients that hold the same: one of them in a round, or all."""
    return scenario.few(3, alike=True, share=0.34), scenario.few(3, alike=True, share=1.0)


def silence(subject: Subject, backend: str) -> None:
    """A round that nobody answers changes no group and no model; neither does a survey."""
    bed = Bed(subject, backend=backend)
    nobody = np.zeros(0, np.int64)
    bed.answer = lambda orders, answering: bed.trained(orders, nobody)
    state = bed.first()
    for round in range(bed.scenario.rounds):
        silent = round != 1
        bed.answer = (lambda orders, answering: bed.trained(orders, nobody)) if silent else bed.trained
        before, state = state, bed.play(round, state)
        if silent:
            ids = bed.world.census.ordered
            ours, theirs = (bed.method.serve(bed.world, one, ids) for one in (state, before))
            claim = f"nobody answered in round {round}, and"
            alike(
                difference(ours.models[ours.receives], theirs.models[theirs.receives], "model"), f"{claim} models moved"
            )
            require(bed.method.standing(state) == bed.method.standing(before), f"{claim} groups changed")
        sound(bed, bed.seen(round + 1, state))
