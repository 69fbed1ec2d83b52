"""Single clients as teachers, where a method looks at each client's model by itself."""

from __future__ import annotations

import dataclasses

import numpy as np

from disue.core.checks import Matrix
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import Making


def ends(making: Making) -> Matrix:
    """(n, d) the end of every client that answered, in the order of `uploads.ids`."""
    if making.sent is None:
        raise UserError(
            "expert: single clients teach where all start from one model; here their starts differ",
            key="method.start",
        )
    return np.asarray(making.sent + making.uploads.vectors(), np.float32)


def singles(making: Making) -> Making:
    """The same round with every client that answered as its own group; the average stays."""
    return dataclasses.replace(making, groups=Groups.alone(making.uploads.ids), models=ends(making))
