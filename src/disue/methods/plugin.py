"""The plugin claim as one function: any composed method with a universal expert."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from disue.core.errors import UserError
from disue.core.method import Expert
from disue.methods.composed import Composed
from disue.parts.start import EveryGroup, FromExpert

E = TypeVar("E")


def with_expert(host: Composed[Any, Any, Any], expert: Expert[E], share: float = 1.0) -> Composed[Any, Any, E]:
    """`host` with its expert slot filled; every client then starts from the expert.

    host    any composed method
    expert  for example `Distil()`
    share   the client starts from share · expert + (1 − share) · its group's model; 0 is the host itself,
            the expert being a by-product. Where clients choose among the groups' models (IFCA), they choose
            among the unblended ones and train from the blend. It must be 0 for methods whose clients start from more
            than one model (CAM)

    >>> from disue.methods.clustered import clustered
    >>> from disue.parts.expert import Distil
    >>> with_expert(clustered(k=4), Distil()).expert.family
    'moments'
    """
    if not host.blends:
        if share > 0:
            raise UserError(
                f"share must be 0 where clients do not start from one group's model, got {share}: an expert is a "
                "by-product there",
                key="share",
                found=share,
            )
        return dataclasses.replace(host, expert=expert)
    if isinstance(host.start, EveryGroup):
        start: EveryGroup | FromExpert = dataclasses.replace(host.start, share=share)
    else:
        start = FromExpert(share)
    return dataclasses.replace(host, start=start, expert=expert)
