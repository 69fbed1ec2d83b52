"""FedBN (Li, Jiang, Zhang, Kamp, Dou, ICLR 2021, arXiv 2102.07623), Algorithm 1.

    client: SGD on all parameters .................................. local = PrivateNorm()
    server: average every layer that is no batch normalisation ..... grouping = OneGroup(), aggregate = Mean()
    batch normalisation stays at the client, statistics included ... its memory

A layer is known by its type. The authors' code goes by the name `bn`, which a residual network's shortcuts may lack.
A model without batch normalisation is refused: on it the method is FedAvg. Of the models shipped here resnet8 and
resnet18 have it with norm = "batch". A client that never took part uses the initial scale, shift and statistics.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import OneGroup
from disue.parts.local import PrivateNorm
from disue.parts.start import FromGroup


def fedbn(local: Local = PrivateNorm()) -> Composed[Any, Any, Any]:
    """One model for everybody but its batch normalisation, which each client keeps."""
    return Composed(FromGroup(), local, OneGroup(), Mean(), NoExpert())
