"""How hard a partition is: label concentration, sizes, samples left out, and what repair had to do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from disue.core.checks import IntMatrix, IntVector


@dataclass(frozen=True)
class Statistics:
    """Shares are in [0, 1], all else counts.

    mean_top_share: mean over clients of the share of their commonest label: what always answering that
    label scores on a test of the same labels. mean_classes: labels present per client. left_out: training
    samples that no client has. moved, redrawn, dropped: samples moved, priors drawn anew, clients left out.
    """

    clients: int
    mean_top_share: float
    mean_classes: float
    one_class_clients: int
    smallest: int
    median: float
    largest: int
    left_out: int
    moved: int = 0
    redrawn: int = 0
    dropped: int = 0


def count_table(lengths: IntVector, labels: IntVector, classes: int) -> IntMatrix:
    """(clients, classes) int64 from the labels of the dealt rows, one client after the other."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    flat = np.bincount(owner * classes + labels, minlength=len(lengths) * classes)
    return flat.reshape(-1, classes).astype(np.int64)


def measure(
    labels: IntVector, lengths: IntVector, indices: IntVector, moved: int, redrawn: int, dropped: int
) -> Statistics:
    """The statistics of clients that own `lengths` of `indices` one after the other; zeros without."""
    left_out = int(len(labels) - np.unique(indices).size)
    if not lengths.size or lengths.min() < 1:
        return Statistics(len(lengths), 0.0, 0.0, 0, 0, 0.0, 0, left_out, moved, redrawn, dropped)
    table = count_table(lengths, labels[indices], int(labels.max()) + 1)
    present = (table > 0).sum(1)
    return Statistics(
        clients=len(lengths),
        mean_top_share=float((table.max(1) / lengths).mean()),
        mean_classes=float(present.mean()),
        one_class_clients=int((present == 1).sum()),
        smallest=int(lengths.min()),
        median=float(np.median(lengths)),
        largest=int(lengths.max()),
        left_out=left_out,
        moved=moved,
        redrawn=redrawn,
        dropped=dropped,
    )
