"""What travels: one record of named arrays, and one of JSON that says what they are. No pickle is read or written.

Every message of the server's carries the same few words, by which a node knows whether it may answer:

    disue   the library's version       spec    hash of the resolved spec
    run     the run's own name, which outlives the server's restarts
    round   of training                 client  the client's id in this run

A node answers, or says in one sentence why it does not (`refused`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from disue.core.checks import Array
from disue.core.errors import UserError

ABOUT, ARRAYS = "disue.about", "disue.arrays"
QUERY, TRAIN, EVALUATE = "query", "train", "evaluate"  # Flower's kinds of messages
RAW = "disue.raw"  # how an array's bytes are written: as they lie in memory, C order, little-endian
KINDS = "biuf"


@dataclass(frozen=True, eq=False)
class Body:
    """kind: what is asked, or answered; about: JSON; arrays: by name."""

    kind: str
    about: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Of its arrays."""
        return sum(array.nbytes for array in self.arrays.values())


def pack(body: Body) -> RecordDict:
    """Flower's record of it."""
    words = json.dumps({"kind": body.kind, "about": dict(body.about)})
    arrays = {name: _packed(np.asarray(value)) for name, value in body.arrays.items()}
    return RecordDict({ABOUT: ConfigRecord({"json": words}), ARRAYS: ArrayRecord(arrays)})


def unpack(content: RecordDict) -> Body:
    """The way back; a record that is not ours is a UserError."""
    try:
        found = json.loads(str(content[ABOUT]["json"]))
        kind, about = str(found["kind"]), dict(found["about"])
        record = content[ARRAYS]
        assert isinstance(record, ArrayRecord)
        arrays = {str(name): _unpacked(value) for name, value in record.items()}
    except (KeyError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise UserError(f"a message is not one of disue's ({type(error).__name__})", key="message") from error
    return Body(kind, about, arrays)


def size(content: RecordDict) -> int:
    """Bytes of a message's content, as they are sent."""
    words = len(str(content[ABOUT]["json"]).encode())
    record = content[ARRAYS]
    assert isinstance(record, ArrayRecord)
    return words + sum(len(value.data) for value in record.values())


def _packed(value: Array) -> FlowerArray:
    value = np.ascontiguousarray(value).reshape(value.shape)
    if value.dtype.kind not in KINDS:
        raise TypeError(f"arrays of numbers are sent, not of {value.dtype}")
    value = value.astype(value.dtype.newbyteorder("<"), copy=False)
    return FlowerArray(dtype=value.dtype.str, shape=value.shape, stype=RAW, data=value.tobytes())


def _unpacked(value: FlowerArray) -> Array:
    if value.stype != RAW:
        raise ValueError(value.stype)
    dtype = np.dtype(value.dtype)
    if dtype.kind not in KINDS:
        raise ValueError(value.dtype)
    return np.frombuffer(value.data, dtype).reshape(tuple(value.shape))
