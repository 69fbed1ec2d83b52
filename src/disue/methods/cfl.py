"""CFL (Sattler, Müller, Samek, IEEE TNNLS 2020, arXiv 1910.01991), Algorithm 4.

    all clients in one group ................................ grouping = Bipartition(...)
    if ‖mean Δ‖ < ε₁ and max ‖Δ_i‖ > ε₂: split in two by cosine
    one FedAvg per group .................................... start = FromGroup(), aggregate = Mean()

The thresholds are lengths, so the published 0.4 and 1.6 belong to the authors' model, rate and steps. A setting of
one's own takes `[method.grouping] relative = true`: both are then in units of the longest mean update so far. The paper
has all clients in every round; with a smaller cohort `every = 10` looks at all clients every ten rounds. A split is of
ids: in several public copies the positions within a group are stored as ids, right for the first split only.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import Bipartition
from disue.parts.local import Erm
from disue.parts.start import FromGroup


def cfl(local: Local = Erm()) -> Composed[Any, Any, Any]:
    """One model at first; groups are split in two where their members pull apart."""
    return Composed(FromGroup(), local, Bipartition(), Mean(), NoExpert())
