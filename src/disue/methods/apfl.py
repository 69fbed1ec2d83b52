"""APFL (Deng, Kamani, Mahdavi, 2020, arXiv 2003.13461), Algorithm 1.

    w_i ← w_i − η ∇f_i(w_i) ...................... local = Mixed(alpha=α), batch by batch
    v_i ← v_i − η ∇f_i(v̄_i) ...................... at v̄_i = α_i v_i + (1 − α_i) w_i, on the same batch
    α_i ← α_i − η ⟨v_i − w_i, ∇f_i(v̄_i)⟩ ......... cut to [0, 1], with adaptive = true; v_i, α_i are its memory
    w ← mean of the w_i .......................... grouping = OneGroup(), aggregate = Mean()

A client uses α v + (1 − α) w with the w that it receives. The global branch is FedAvg. Of each batch, w steps first and
the mixture is made of the w that came of it, as in the authors' code; the paper's algorithm takes both gradients before
either step (recalled, unchecked). v follows the gradient at the mixture as it is; differentiated through the mixture
it would carry a factor α. Members weigh by their samples.

Mixed are the weights, as in the paper. The authors' code mixes logits, α f(x; v) + (1 − α) f(x; w), and moves α on the
first batch of a round alone. A mixture of logits is no vector of the model, so nobody could be served with it: it is
not offered.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local import Mixed
from disue.parts.start import FromGroup


def apfl(local: Local = Mixed()) -> Composed[Any, Any, Any]:
    """One model for everybody, and for each client a mixture of it with a model of its own."""
    return Composed(FromGroup(), local, OneGroup(), Mean(), NoExpert())
