"""FL+HC and FedClust against the clustering of inflorescence's FL+HC, on whole models and on last layers."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
from bed import Apart, Bed, Reference, main, shaped, source

from disue.core.layout import HEAD

IDS = (17, 902, 4001, 4002, 5000, 6003, 7001, 8005, 9000)
CUTS: tuple[tuple[str, str], ...] = (
    ("euclidean", "ward"), ("euclidean", "average"), ("euclidean", "complete"), ("euclidean", "single"),
    ("l1", "average"), ("l1", "complete"), ("cosine", "average"), ("cosine", "complete"),
)  # fmt: skip


def bed() -> Bed:
    """Three groups of clients whose labels are turned by one class each."""
    made = Bed(dict.fromkeys(IDS, 40))
    teacher = np.random.default_rng(5).standard_normal((4, 5))
    for at, (client, (x, _)) in enumerate(list(made.held.data.items())):
        made.held.data[client] = x, (((x @ teacher.T).argmax(1) + at % 3) % 4).astype(np.int64)
    return made


def inflorescence(name: str) -> Any:
    def run(root: Path) -> Apart:
        """`cluster_clients` on the ends of our survey, by several metrics and linkages; planted groups and none."""
        out, code = Apart(), source(root, "inflorescence.strategy.flhc")
        out["clusterings"], out["that differ"] = 0, 0
        for made, (metric, linkage), k in itertools.product((bed(), Bed(dict.fromkeys(IDS, 40))), CUTS, (2, 3)):
            head, net = made.network.layout.mask(HEAD), made.module()
            more = {"after": 2} if name == "flhc" else {}
            method = made.method(name, {"epochs": 2, "batch": 8, "lr": 0.2}, k=k, **more)
            part = dataclasses.replace(method.grouping, metric=metric, linkage=linkage)
            found = made.play(dataclasses.replace(method, grouping=part), [IDS] * 3)[-1]
            (survey,) = made.surveys
            weights = {}
            for client, end in survey.ends.items():
                moved = end - survey._answers[0].start  # cosines are of updates in the paper
                vector = (moved if metric == "cosine" else end).astype(np.float64)
                weights[client] = shaped(vector, net) if name == "flhc" else [vector[head]]
            theirs = code.cluster_clients(weights, metric, linkage, k_clusters=k)
            groups = found.state.groups
            mine = {frozenset(groups.members(n).tolist()) for n in groups.present().tolist()}
            labels = {frozenset(i for i in theirs if theirs[i] == label) for label in theirs.values()}
            out["clusterings"] += 1
            out["that differ"] += int(mine != labels)
        return out

    return run


if __name__ == "__main__":
    file, what = "inflorescence/strategy/flhc.py", "cluster_clients"
    sys.exit(
        max(
            main(name, Reference("alexkyllo/inflorescence", file, what, inflorescence(name)))
            for name in ("flhc", "fedclust")
        )
    )
