"""Rounds for the tests of robust aggregates: one vector for all, or groups that start apart."""

import numpy as np

from disue.core.groups import Groups
from disue.core.method import View
from disue.parts.aggregate.robust import KINDS
from fakes import answer, orders, world

D = 4  # a head only: fc.weight (2, 1), fc.bias (2,)
IDS = (4001, 17, 902, 23, 7777, 5, 611, 88, 3003, 142, 9)  # no valid positions, out of order


def rule(kind, **keys):
    return KINDS[kind](**keys)


def rows(*points):
    """Updates, the numbers given and zeros behind them."""
    return [np.array([*np.atleast_1d(p), *[0.0] * (D - np.size(p))], np.float32) for p in points]


def told(part, updates, *, start=None, groups=None, sizes=None, memory=None, before=None, round=0, seed=0, ids=None):
    """What the part makes of updates (by id, or in the order of IDS) from one start."""
    start = np.zeros(D, np.float32) if start is None else start
    if not isinstance(updates, dict):
        updates = dict(zip(ids or IDS, updates, strict=False))
    known = list(updates)
    groups = Groups.one(np.array(known)) if groups is None else groups
    at = world(known, start.size, sizes=sizes, seed=seed)
    asked = orders(known, start, round=round)
    came = {i: (start + u).astype(np.float32) for i, u in updates.items()}
    door = answer(asked, came, at.layout, sizes or {}, weights=part.weights)
    view = before or View(round, groups, np.repeat(start[None], groups.numbers.size, 0), start, None)
    memory = part.init(at, start, groups) if memory is None else memory
    return part.merge(at, memory, view, groups, asked, door, common=True)


def centre(part, *points, **more):
    """The first numbers of the model that a start at zero is moved to; as many as a point has."""
    out = told(part, rows(*points), **more)
    return np.asarray(out.average[: np.size(points[0])], np.float64)
