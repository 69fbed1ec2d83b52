"""The words that every message of the server's carries, by which a node knows whether it may answer, and what of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from disue.core.errors import UserError
from disue.runs.spec import CheckpointTable, Spec, Track

REFUSED, LACKING, DROPPED = "refused", "lacking", "dropped"  # keys of an answer that is none
FORGOT = "forgot"  # of one whose site has lost what its last answer left it


@dataclass(frozen=True)
class Head:
    """Of a message.

    disue, spec   the library's version and the hash of the resolved spec: a node with others refuses
    run           the run's own name, which outlives the server's restarts
    round, exchange   where the run is; the exchange's name is given once in a run
    client, classes   the client's id in this run, the number of labels; −1 and 0 before they are known
    name   the client's name, by which the node that is asked was known; "" where it is asked for that
    fingerprint   of the model's layout; "" before it is known
    heard         the last round whose answer of this client's was counted: its memory is as that left it
    safe          the round of the server's last checkpoint
    """

    run: str
    spec: str
    disue: str
    client: int = -1
    round: int = 0
    classes: int = 0
    heard: int = -1  # the last round whose answer of this client's was counted
    safe: int = -1  # the round of the server's last checkpoint
    exchange: str = ""
    name: str = ""
    fingerprint: str = ""  # of the model's layout; "" before it is known

    def plain(self) -> dict[str, Any]:
        return dict(vars(self))

    @staticmethod
    def read(about: Mapping[str, Any]) -> Head:
        try:
            found = about["head"]
            return Head(**{name: type(default)(found[name]) for name, default in vars(Head("", "", "")).items()})
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"a message's head is damaged ({error})", key="head") from error


def hash_of(spec: Spec) -> str:
    """Of a spec as it is resolved, without what is the server's own: both sides have the same where they run the same
    thing."""
    shared = replace(spec, checkpoint=CheckpointTable(), track=Track())
    return hashlib.sha256(shared.toml().encode()).hexdigest()
