"""IFCA (Ghosh, Chung, Yin, Ramchandran, NeurIPS 2020, arXiv 2006.04088), Algorithm 1, model averaging.

    broadcast θ_1 … θ_k ................................. start = EveryGroup(choice="loss")
    ĵ = argmin_j F_i(θ_j) ............................... on the client's training data; ties to the lowest
    s_i = e_{ĵ} ......................................... grouping = ByChoice(k)
    θ_j ← mean of the members' ends ..................... aggregate = Mean()

The first group starts from the common initial model, the others from further draws of the initialiser. Members weigh by
their samples (the paper: alike, `[method.aggregate] weights = "uniform"`). An empty group keeps its model. The authors'
code assigns test clients by their test loss and draws initial models until all groups are wanted; here both are as the
paper says: the choice is on training data, and initial models are drawn once.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import ByChoice
from disue.parts.local import Erm
from disue.parts.start import EveryGroup


def ifca(local: Local = Erm(), k: int = 2) -> Composed[Any, Any, Any]:
    """One model per group; every client takes the model that fits its data best.

    k  number of groups; all k models go to every client of a cohort
    """
    return Composed(EveryGroup(), local, ByChoice(k), Mean(), NoExpert())
