"""Local training: every client alone, from the common initial weights; the floor of every comparison.

    each client asked in a round .... trains on from its own last model: start = FromSelf()
    nothing is shared ............... grouping = Alone()

A client trains only in rounds in which it is asked, so that it does the same work as a federated one.
Under label skew read its accuracy beside the majority baseline, never alone.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import NoExpert
from disue.parts.grouping import Alone
from disue.parts.local import Erm
from disue.parts.start import FromSelf


def local_only(local: Local = Erm()) -> Composed[Any, Any, Any]:
    """Every client trains by itself."""
    return Composed(FromSelf(), local, Alone(), Mean(), NoExpert())
