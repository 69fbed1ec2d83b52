"""FedPer (Arivazhagan, Aggarwal, Singh, Choudhary, 2019, arXiv 1912.00818), Algorithms 1 and 2.

    (W_B, W_{P_j}) ← SGD on both, together ......... local = PrivatePart(kept="head")
    W_{P_j} stays at client j ...................... its memory
    W_B ← Σ_j γ_j W_{B,j}, γ_j = n_j / n ........... grouping = OneGroup(), aggregate = Mean()

The body is averaged, the head is private. There is no head for everybody: what the server sends is no model by itself,
and `served_global` is the mean of the clients' own models. The paper keeps more than one layer for deeper models:
`[local] kept = "layer4*,fc*"` names tensors.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local import PrivatePart
from disue.parts.start import FromGroup


def fedper(local: Local = PrivatePart()) -> Composed[Any, Any, Any]:
    """One body for everybody, and a head for each client."""
    return Composed(FromGroup(), local, OneGroup(), Mean(), NoExpert())
