"""What an aggregate that keeps one model asks of a round."""

from __future__ import annotations

from disue.core.checks import Vector
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.orders import Orders


def one_origin(method: str, orders: Orders, groups: Groups) -> Vector:
    """The vector (d,) that everybody started from; refused where starts differ or there are several groups."""
    if orders.origin is None or groups.numbers.size != 1:
        raise UserError(f"{method}: all clients must start from one model, in one group", key="method.grouping")
    return orders.origin
