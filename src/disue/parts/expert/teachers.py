"""Who teaches, how much each is believed for each class, and the masked mixture of what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from disue.core.checks import Array, Float64, IntMatrix, IntVector, Mask, Matrix

if TYPE_CHECKING:
    from torch import Tensor

MASKS = ("anchor", "shape", "none")
MIXTURES = ("probability", "logit")


@dataclass(frozen=True, eq=False)
class Ledger:
    """What groups last reported of their labels.

    numbers  (g,) the groups        counts  (g, C) samples per class        ages  (g,) rounds since then
    """

    numbers: IntVector
    counts: IntMatrix
    ages: IntVector

    @staticmethod
    def empty(classes: int) -> Ledger:
        none = np.zeros(0, np.int64)
        return Ledger(none, np.zeros((0, classes), np.int64), none)

    def after(self, numbers: IntVector, counts: Array) -> Ledger:
        """The next round's: groups that report nothing keep their last counts and grow a round older."""
        known = {int(number): row for row, number in enumerate(self.numbers)}
        out, ages = np.array(counts, np.int64), np.zeros(numbers.size, np.int64)
        for row, number in enumerate(numbers.tolist()):
            if number in known and not out[row].any():
                out[row] = self.counts[known[number]]
                ages[row] = self.ages[known[number]] + 1
        return Ledger(numbers, out, ages)


@dataclass(frozen=True, eq=False)
class Teachers:
    """Group models that teach this round.

    models  (k, d)
    seen    (k, C) the classes each was trained on, Y_g
    alpha   (k, C) α_{g,y}: how much teacher g is believed for class y; every column sums to one
    """

    models: Matrix
    seen: Mask
    alpha: Float64

    def why_not(self) -> str:
        """Why there is nothing to distil, or nothing."""
        if len(self.models) < 2:
            return f"{len(self.models)} teacher"
        return "all teachers are the same model" if (self.models == self.models[:1]).all() else ""


def speaking(
    models: Matrix, ledger: Ledger, weigh: Callable[[Array], Float64], decay: float = 1.0
) -> tuple[Teachers, Array]:
    """(who teaches, their label counts as they are heard); a group without samples or with a broken model does not.

    weigh  counts (k, C) → α (k, C)      decay  what a group loses of its weight in each round that it was not there
    """
    speaks = (ledger.counts.sum(axis=1) > 0) & np.isfinite(models).all(axis=1)
    counts, trust = ledger.counts[speaks], np.power(float(decay), ledger.ages[speaks])
    heard = counts if (trust == 1.0).all() else counts * trust[:, None]
    return Teachers(models[speaks], counts > 0, trusted(weigh(counts), trust)), heard


def trusted(alpha: Array, trust: Array) -> Float64:
    """`alpha` (k, C) scaled by each teacher's `trust` (k,), every column brought back to sum one.

    A column without any weight (a class that nobody holds, and that only `uniform-all` labels ask for)
    becomes uniform.
    """
    out = np.asarray(alpha, np.float64) * np.asarray(trust, np.float64)[:, None]
    total = out.sum(axis=0)
    safe = np.where(total > 0, total, 1.0)
    return np.where(total > 0, out / safe, 1.0 / max(out.shape[0], 1))


def masked(logits: Tensor, average: Tensor | None, seen: Mask, kind: str, temperature: float) -> Tensor:
    """(k, B, C) log p̂_g: what each teacher says, with the classes it never saw taken from the average.

    logits (k, B, C) of the teachers, average (B, C) of the averaged model (None with `kind` "none").
    With p_g, a the softmax at `temperature`, r_g = Σ_{c∉Y_g} p_g(c) and m_g = Σ_{c∈Y_g} a_c:

    anchor   m_g · p_g(c) / (1 − r_g) for c ∈ Y_g, a_c otherwise: a one-class teacher says what a says
    shape    p_g(c) for c ∈ Y_g, r_g · a_c / (1 − m_g) otherwise
    none     p_g(c)

    Everything stays in logarithms: 1 − r_g underflows where a teacher is sure of a class it never saw.
    """
    import torch

    said = (logits / temperature).log_softmax(-1)
    if kind == "none" or average is None:
        return said
    base = (average / temperature).log_softmax(-1)
    rows = []
    for row, known in zip(said, torch.from_numpy(np.array(seen)), strict=True):
        if bool(known.all()):  # nothing to mask, and no mass of unseen classes to share out
            rows.append(row)
            continue
        inside, outside = row.masked_fill(~known, -torch.inf), base.masked_fill(known, -torch.inf)
        if kind == "anchor":
            mass = base.masked_fill(~known, -torch.inf).logsumexp(-1, keepdim=True)
            rows.append(torch.where(known, mass + inside.log_softmax(-1), base))
        else:
            rest = row.masked_fill(known, -torch.inf).logsumexp(-1, keepdim=True)
            rows.append(torch.where(known, row, rest + outside.log_softmax(-1)))
    return torch.stack(rows)


def mixed(said: Tensor, weights: Tensor, kind: str) -> Tensor:
    """(B, C) log t: log-probabilities `said` (k, B, C) mixed with `weights` (k, B), whose columns sum to one.

    probability   Σ_g α_g p̂_g
    logit         softmax(Σ_g α_g log p̂_g), which without a mask is the softmax of mixed logits
    """
    if kind == "logit":
        return (weights[:, :, None] * said).sum(0).log_softmax(-1)
    return (weights.log()[:, :, None] + said).logsumexp(0)
