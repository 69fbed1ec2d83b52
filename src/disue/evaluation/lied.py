"""What liars did: to honest clients, to groups, and whether a backdoor opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from disue.core.checks import Array, Float64, IntVector, Mask
from disue.core.method import Served
from disue.core.streams import Streams
from disue.core.world import Network
from disue.evaluation.accuracy import outputs
from disue.evaluation.evaluate import MOST
from disue.evaluation.plan import On, TestBed, distinct, renamed

K = TypeVar("K")


def honest(columns: Mapping[str, Float64], who: Mask, planted: IntVector) -> dict[str, float]:
    """Means of honest clients' columns (n,): `honest_served` of what each receives on its own test (its own model where
    it uses one), `honest_group` of its group's model, `worst_honest_group` the least mean of that over a planted group.

    who  (n,) the honest ones     planted  (n,) the group of each
    """
    out: dict[str, float] = {}
    for name, wanted in (("honest_served", ("personal_local", "received_local")), ("honest_group", ("group_local",))):
        values = next((columns[column] for column in wanted if column in columns), None)
        if values is None or not (there := who & ~np.isnan(values)).any():
            continue
        out[name] = float(values[there].mean())
        if name == "honest_group":
            means = [values[there & (planted == g)].mean() for g in np.unique(planted[there]).tolist()]
            out["worst_honest_group"] = float(min(means))
    return out


def captured(groups: IntVector, planted: IntVector, liars: Mask, target: int) -> dict[str, float]:
    """`captured`: percent of the liars from outside the planted group `target` who stand in a group most of whose
    honest members were planted there. All (n,); a group without honest members is none of them."""
    outside = liars & (planted != target)
    if not outside.any():
        return {}
    taken = []
    for group in groups[outside].tolist():
        members = planted[(groups == group) & ~liars] == target
        taken.append(group >= 0 and members.size > 0 and 2 * int(members.sum()) > members.size)
    return {"captured": 100.0 * float(np.mean(taken))}


def backdoor(
    network: Network,
    served: Served,
    ids: IntVector,
    who: Mask,
    clients: TestBed[K],
    mark: Callable[[Array], Array],
    label: int,
    *,
    on: On = "test",
    streams: Streams = Streams(0),
) -> dict[str, float]:
    """Percent of marked test inputs of other classes that are taken for `label`, a mean over the honest clients `who`.

    `backdoor_global` in what each receives, `backdoor_group` in its group's model, `backdoor_expert` in the expert,
    each on the test set as the client sees it; over a fixed hundred of them where there are more. Nothing where nobody
    uses a model that is served.
    """
    known = np.flatnonzero(who)
    if known.size > MOST:
        known = known[np.sort(streams("evaluate-backdoor").permutation(known.size)[:MOST])]
    if not served.whole or not known.size:
        return {}
    rows = {"global": served.receives}
    if served.group is not None:
        rows["group"] = served.group
    if served.expert is not None:
        rows["expert"] = np.full(ids.size, served.expert)
    used = np.concatenate([row[known] for row in rows.values()])
    same = distinct(served.models, used.tolist())
    views = {name: renamed(same, row[known]) for name, row in rows.items()}
    keys = [clients.transform_key(i) for i in ids[known].tolist()]
    marked: dict[K, Array] = {}
    opened: dict[tuple[int, K], float] = {}
    for of in views.values():
        for row, key in zip(of.tolist(), keys, strict=True):
            if key not in marked:
                x, y = clients.pool(key, on=on)
                marked[key] = mark(x[y != label])
            if (row, key) not in opened:
                found = outputs(network, served.models[row], marked[key]).argmax(axis=1) == label
                opened[row, key] = 100.0 * float(found.mean()) if found.size else float("nan")
    return {
        f"backdoor_{name}": float(np.nanmean([opened[row, key] for row, key in zip(of.tolist(), keys, strict=True)]))
        for name, of in views.items()
    }
