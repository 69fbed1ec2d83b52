"""FoolsGold: clients whose updates have pointed the same way over the run are taken for one.

C. Fung, C. J. M. Yoon, I. Beschastnikh, The Limitations of Federated Learning in Sybil Settings, RAID 2020 (arXiv
1808.04866, as Mitigating Sybils in Federated Learning Poisoning), Algorithm 1.

    H_i ← Σ_t Δ_i,t ............................... memory, by client, of the entries `of`
    cs_ij ← cosine(H_i, H_j), v_i ← max_j cs_ij ... `trust`, among the members of a group who answered
    pardoning: cs_ij ← cs_ij · v_i / v_j where v_j > v_i
    α_i ← 1 − max_j cs_ij, divided by the largest
    α_i ← κ (ln(α_i / (1 − α_i)) + 0.5) in [0, 1] .. `confidence` = κ
    w ← w + Σ α_i Δ_i ............................. the weighted mean by α_i: Δ is a whole local training

The paper weighs the entries of the output layer by how much they matter; here they count alike. Negative cosines count
as zero. It bears any number of liars that pull the same way, and none that is alone; honest clients of like data look
like sybils, and so do the members of a good group: compare within groups with care. There are no buckets before it,
since it knows clients and not the means of some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from disue.core.checks import Float64, IntVector, Matrix, Vector, frozen
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import EVERYTHING, Part
from disue.core.world import World
from disue.parts.aggregate.robust.base import Centres, Robust, Sample
from disue.parts.expert import ranges

ROUNDING = 1e-6  # histories are float32: two that agree in all digits are one


@dataclass(frozen=True, eq=False)
class Histories:
    """ids (n,) of all who ever answered, ascending, and rows (n, p) the sum of each one's updates."""

    ids: IntVector
    rows: Matrix

    def told(self, ids: IntVector, rows: Float64) -> Histories:
        """With further updates of some clients, each named once."""
        every = np.union1d(self.ids, ids)
        out = np.zeros((every.size, rows.shape[1]))
        if self.ids.size:
            out[np.searchsorted(every, self.ids)] = self.rows
        out[np.searchsorted(every, ids)] += rows
        return Histories(frozen(every), frozen(out.astype(np.float32)))

    def of(self, ids: IntVector) -> Float64:
        return np.asarray(self.rows[np.searchsorted(self.ids, ids)], np.float64)


@dataclass(frozen=True)
class FoolsGold(Robust):
    """The mean of a group's updates, each weighed by how little its history resembles another's.

    of          the entries whose history is compared: "head", "whole", or names and globs with commas between
    confidence  κ: the larger, the sharper the line between trusted and not
    """

    of: str = "head"
    confidence: float = 1.0
    name: ClassVar[str] = "foolsgold"

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges.number("foolsgold.confidence", self.confidence, 0.0, above=True)
        if not self.of.strip():
            raise UserError(
                'foolsgold.of must be "head", "whole" or globs over tensor names, got ""',
                key="foolsgold.of",
                found=self.of,
            )

    def first(self, start: Vector, groups: Groups) -> Histories:
        return Histories(np.zeros(0, np.int64), np.zeros((0, 0), np.float32))

    def centres(self, world: World, round: int, memory: Any, samples: Mapping[int, Sample], groups: Groups) -> Centres:
        at = world.layout.mask(EVERYTHING if self.of == "whole" else Part.of(self.of))
        for sample in samples.values():
            memory = memory.told(sample.ids, sample.rows[:, at])
        found, failed, least = {}, {}, 1.0
        for number, sample in samples.items():
            alpha = trust(memory.of(sample.ids), self.confidence)
            weights = alpha * sample.weights
            least = min(least, float(alpha.min()))
            if weights.sum() > 0:
                found[number] = np.asarray(np.average(sample.rows, axis=0, weights=weights), np.float64)
            else:
                failed[number] = "the updates of all its members have pointed the same way"
        return Centres(found, failed, memory, {"foolsgold.least": least})


def trust(histories: Float64, confidence: float) -> Float64:
    """(m,) α in [0, 1] from histories (m, p)."""
    m = histories.shape[0]
    if m < 2:
        return np.ones(m)
    norms = np.sqrt((histories**2).sum(axis=1))
    ways = histories / np.where(norms > 0, norms, 1.0)[:, None]
    alike = np.array([(ways * way).sum(axis=1) for way in ways])  # one product a pair, whatever the order
    np.fill_diagonal(alike, 0.0)
    alike = np.clip(alike, 0.0, 1.0)
    most = alike.max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        pardon = np.where(most[None, :] > most[:, None], most[:, None] / most[None, :], 1.0)
        alpha = 1.0 - (alike * pardon).max(axis=1)
        alpha = np.where(alpha < ROUNDING, 0.0, alpha)
        if not alpha.max() > 0:
            return np.zeros(m)
        alpha = alpha / alpha.max()
        return np.asarray(np.clip(confidence * (np.log(alpha / (1.0 - alpha)) + 0.5), 0.0, 1.0), np.float64)
