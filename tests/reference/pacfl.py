"""PACFL's angles and merging against its authors'."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from bed import Apart, Bed, Reference, main, source

from disue.core.clients import Order
from disue.parts.grouping.angles import Bases, PrincipalAngles
from disue.parts.grouping.merging import merge

EACH, SHAPE = 2, (12,)


def authors(root: Path) -> Apart:
    """`calculating_adjacency` on our bases, and `hierarchical_clustering` on its matrices and on random ones."""
    vars(np)["NINF"] = -math.inf  # numpy's old name, which it uses
    bed, out = Bed(dict.fromkeys((17, 902, 4001, 4002, 5000, 6003), 30), shape=SHAPE), Apart()
    code = source(root, "src.clustering.hierarchical_clustering")
    bases = []
    for client in bed.held.data:
        x, y = bed.held.train(client)
        one = np.ones(1)
        order = Order(client, 0, one, one[None], 0, one, {}, len(y), bed.held.label_counts(client), bed.network.layout)
        bases.append(Bases(EACH)(x, y, order)["bases"].astype(np.float64))
    rows, numbers = np.stack(bases), range(len(bases))
    ours, _ = PrincipalAngles(2, each=EACH, entrywise=True)._compared(rows, rows)
    true, _ = PrincipalAngles(2, each=EACH)._compared(rows, rows)
    plain = code.calculating_adjacency(list(numbers), bases)
    signs = code.calculating_adjacency(list(numbers), [np.concatenate([b, -b], axis=1) for b in bases])
    apart = ~np.eye(len(bases), dtype=bool)
    out.add("degrees, entry by entry", ours[apart], plain[apart])
    out.add("degrees, entry by entry (whatever the vectors' signs)", ours[apart], signs[apart])
    out.add("degrees, principal angles", true[apart], plain[apart])
    rng, wrong, cuts = np.random.default_rng(0), 0, 0
    for linkage, mine in (("average", "weighted"), ("maximum", "complete"), ("minimum", "single")):
        for _ in range(50):
            size = int(rng.integers(3, 9))
            upper = np.triu(rng.uniform(1, 90, (size, size)), 1)
            for beta in rng.uniform(1, 90, 4):
                theirs = code.hierarchical_clustering(upper + upper.T, thresh=beta, linkage=linkage)
                merges = merge(upper + upper.T, mine)
                labels = merges.labels(merges.below(float(beta)))
                found = {frozenset(np.flatnonzero(labels == g).tolist()) for g in set(labels.tolist())}
                wrong, cuts = wrong + (found != {frozenset(c) for c in theirs}), cuts + 1
    out["cuts of random matrices"], out["of which differ"] = cuts, wrong
    return out


if __name__ == "__main__":
    file, what = "src/clustering/hierarchical_clustering.py", "calculating_adjacency, hierarchical_clustering"
    raise SystemExit(main("pacfl", Reference("MMorafah/PACFL", file, what, authors)))
