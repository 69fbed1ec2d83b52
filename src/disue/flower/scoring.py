"""What a site is asked to score: the models that it is served, each sent once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from disue.core.checks import Array, IntVector, Vector, digest
from disue.core.method import Served
from disue.core.orders import Orders
from disue.flower.messages import Body
from disue.flower.orders import VECTOR, down


def scoring(
    served: Served, ids: IntVector, client: int, personal: Orders | None, head: Mapping[str, Any], cohort: str | None
) -> Body:
    """What one client is to score: the models that it receives or is measured against, each sent once."""
    at = int(np.searchsorted(ids, client))
    arrays: dict[str, Array] = {}
    names: list[str] = []

    def row(found: int | None) -> int | None:
        if found is None or not served.whole:
            return None
        vector: Vector = np.ascontiguousarray(served.models[found])
        name = digest(vector)
        arrays[VECTOR + name] = vector
        if name not in names:
            names.append(name)
        return names.index(name)

    about: dict[str, Any] = {
        "receives": row(int(served.receives[at])) or 0,
        "group": row(None if served.group is None else int(served.group[at])),
        "expert": row(served.expert),
        "average": row(served.average),
        "scale": float(served.scale).hex(),
        "whole": served.whole,
        "cohort": cohort,
        "personal": None,
    }
    if personal is not None:
        about["personal"], more = down(personal, client, {n.removeprefix(VECTOR) for n in arrays})
        arrays |= more
    return Body("score", {**head, **about, "models": names}, arrays)
