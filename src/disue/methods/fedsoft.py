"""FedSoft (Ruan, Joe-Wong, AAAI 2022, arXiv 2112.06053), Algorithm 1.

    broadcast c_1 … c_S ...................................... start = EveryGroup(choice="shares", own=True)
    u_ks = share of k's samples on which c_s loses least,
           at least σ; anew every τ rounds ................... grouping = ByShares(k, every=τ)
    w_k ≈ argmin F_k(w) + λ/2 Σ_s u_ks ‖w − c_s‖²,
          from its own last w_k .............................. local = SoftProximal(mu=λ, sigma=σ)
    c_s ← Σ_k v_sk w_k, v_sk ∝ u_ks n_k ...................... aggregate = SoftMean()
          or the mean of K clients, drawn by v_sk ............ SoftMean(draws=K)

A client's own model is w_k, scored as `personal_local`; as its group's model counts that of its largest share.

Deviates: the cohort is drawn as for every method, and v is among its clients; in the paper all clients find their
shares every τ rounds, and the K are drawn among all. With all clients in the cohort both are the same, but for those
that nobody draws: they train here, and keep what they trained. Shares sum to one after the floor, a difference of σ.
The first time a client begins at the centre that fits most of its samples, in the authors' code at a model of its own
draw. SGD, not Adam. The authors' loop calls the estimate of u with an argument that it does not take.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import SoftMean
from disue.parts.expert import NoExpert
from disue.parts.grouping import ByShares
from disue.parts.local import SoftProximal
from disue.parts.start import EveryGroup


def fedsoft(local: Local = SoftProximal(), k: int = 2) -> Composed[Any, Any, Any]:
    """One model per group and one per client, which belongs to all groups in shares.

    k  number of groups; all k models go to every client of a cohort
    """
    return Composed(EveryGroup(choice="shares", own=True), local, ByShares(k), SoftMean(), NoExpert())
