"""What sites send, checked and as an engine would have it. What is damaged is a ValueError, and left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from disue.core.checks import Array, Float64, IntVector
from disue.core.layout import Layout
from disue.core.orders import Orders
from disue.core.triangles import unpacked
from disue.engine.answers import Answer
from disue.engine.measure import ClientMoments
from disue.flower import encoding
from disue.flower.messages import Body
from disue.flower.orders import EXTRA, entries


def answer_of(orders: Orders, client: int, reply: Body, size: int, layout: Layout, code: str) -> Answer:
    """A client's answer to its orders as an engine would have it. size: its samples; code: the encoding of updates."""
    at = int(np.searchsorted(orders.ids, client))
    which = orders.which[at]
    into = which if orders.into is None else orders.into[at]
    told = orders.told().get(client)
    choice: Float64 = np.eye(1, which.size)[0] if told is None else told
    if "choice" in reply.arrays:
        choice = finite(shaped(reply.arrays["choice"], which.shape, "choice"))
    received = np.ascontiguousarray(orders.starts[into[int(np.argmax(choice))]])
    sent = entries(orders, layout)
    start = np.array(received)
    if "start" in reply.arrays:
        start[sent] = shaped(reply.arrays["start"], sent.shape, "start")
    end = np.array(start)
    if "end" in reply.arrays:
        end[sent] = shaped(reply.arrays["end"], sent.shape, "end")
    elif sent.size:
        end = np.array(received)
        end[sent] += encoding.decode(code, reply.arrays, sent, layout)
    extras = {n.removeprefix(EXTRA): value for n, value in reply.arrays.items() if n.startswith(EXTRA)}
    return Answer(
        client,
        received,
        start,
        end,
        choice,
        size,
        counts_of(reply.arrays.get("labels", np.zeros(layout.classes, np.int64)), layout.classes),
        extras,
        int(reply.about["steps"]),
        float.fromhex(reply.about["loss"]),
        float(reply.about["seconds"]),
    )


def moments_of(reply: Body, layout: Layout) -> ClientMoments:
    """As the client measured them."""
    features = layout.features
    found: dict[str, Any] = {name: finite(value) for name, value in reply.arrays.items()}
    found["counts"] = counts_of(reply.arrays["counts"], layout.classes)
    shaped(found["sums"], (layout.classes, features), "sums")
    if "xy" in found:
        shaped(found["xy"], (features + 1, features), "xy")
    leading = found["counts"].shape if found["second"].size > features * (features + 1) // 2 else ()
    found["second"] = unpacked(found["second"], features, leading)
    if "xx" in found:
        found["xx"] = unpacked(found["xx"], features + 1)
    return ClientMoments(*(found.get(name) for name in ClientMoments._fields))  # type: ignore[arg-type]


def shaped(value: Array, shape: tuple[int, ...], name: str) -> Array:
    """A value that came, of the shape that was asked for: a single number would fill a whole vector."""
    if value.shape != shape:
        raise ValueError(f"{name} has shape {value.shape}, expected {shape}")
    return value


def finite(value: Array) -> Float64:
    if not np.isfinite(value).all():
        raise ValueError("a number is not finite")
    return np.asarray(value, np.float64)


def counts_of(value: Array, classes: int) -> IntVector:
    """Label counts that came."""
    found = shaped(np.asarray(value), (classes,), "labels")
    if found.dtype.kind not in "iu" or (found < 0).any():
        raise ValueError("label counts are no counts")
    return found.astype(np.int64)
