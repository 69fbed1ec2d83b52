"""[privacy]: the protected protocol, and the keys of training that it presupposes.

Everything that changes training is a key of its own ([cohort] kind and lot, [method.floor], a grouping's rule, an
expert's lot), which exists in plain runs too. [privacy] fills them in where they are not given, so that the resolved
spec without its [privacy] table is the protected run's plain twin.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from disue.core.errors import UserError
from disue.core.orders import Sight
from disue.core.uploads import Door
from disue.runs.assemble import AnyMethod
from disue.runs.keys import key

SKETCHES = ("sketch", "sketch-bits")
MODES = ("", *SKETCHES, "assign")
SHOWS = {
    "sketch": {Sight.COSINE},
    "sketch-bits": {Sight.COSINE},
    "assign": {Sight.CHOICE},
}
ALWAYS = {Sight.SUMS, Sight.LABELS, Sight.MOMENTS}
LOT = 10  # clients whose static quantities are summed together


@dataclass(frozen=True)
class Privacy:
    """[privacy]: the server sees sketches (or choices) and sums over groups, and nothing else of a client."""

    similarity: str = key(
        "",
        "what clients are compared by: secret sketches of their updates, the signs alone, or each client's own "
        "choice among the models; left out: a plain run",
        choices=MODES,
    )
    k: int = key(256, "numbers of a sketch; cosines are off by about 1 / √k", low=8, high=65536)
    m: int = key(0, "buckets into which an update is counted before that, a power of two; 0: 16 k", low=0)
    min_group: int = key(3, "clients of a group below which nothing of it is unmasked", low=3)
    min_class: int = key(0, "clients of a lot that must hold a class, or it is left out; 0: as min_group", low=0)
    update_bound: float = key(8.0, "largest entry of end − common start; a client beyond it takes no part", above=0)
    scale_bits: int = key(32, "bits behind the point in the sums", low=8, high=48)
    consistency: bool = key(
        True, "clients confirm to each other whom the server calls alive, against a server that lies"
    )
    strict: bool = key(
        False, "every start in a group must have min_group clients too, against a server that sends different models"
    )
    epsilon: float = key(
        float("inf"), "with assign: the choice is told by randomised response of this ε; inf: as it is", above=0
    )
    dropouts: Mapping[str, float] = key(
        {}, "simulated: share of clients that are lost at a stage, as { shares = 0.05, masked = 0.05, unmask = 0.05 }"
    )
    transcript: bool = key(False, "everything that the server saw is written to transcript.bin in the run's folder")

    @property
    def on(self) -> bool:
        return self.similarity != ""

    @property
    def buckets(self) -> int:
        return self.m or 16 * self.k

    @property
    def class_floor(self) -> int:
        return self.min_class or self.min_group

    @property
    def door(self) -> Door:
        """What the server is shown."""
        return Door(f'protected ("{self.similarity}")', frozenset(ALWAYS | SHOWS[self.similarity]))


STAGES = ("keys", "sketch", "shares", "masked", "unmask")


def check(privacy: Privacy, method: AnyMethod) -> None:
    """One sentence about what does not fit."""
    if not privacy.on:
        return
    if importlib.util.find_spec("cryptography") is None:
        raise UserError(
            'privacy.similarity needs the package "cryptography": pip install "disue[secure]"', key="privacy.similarity"
        )
    if privacy.m and privacy.m & (privacy.m - 1):
        raise UserError(f"privacy.m must be a power of two, got {privacy.m}", key="privacy.m", found=privacy.m)
    if not privacy.m and privacy.k & (privacy.k - 1):
        raise UserError(
            f"privacy.k must be a power of two unless privacy.m is given, got {privacy.k}",
            key="privacy.k",
            found=privacy.k,
        )
    for stage, share in privacy.dropouts.items():
        if stage not in STAGES:
            raise UserError(
                f"privacy.dropouts.{stage}: unknown stage. Stages: {', '.join(STAGES)}", key=f"privacy.dropouts.{stage}"
            )
        if not isinstance(share, int | float) or not 0 <= share < 1:
            raise UserError(
                f"privacy.dropouts.{stage} must be a number in [0, 1), got {share!r}", key=f"privacy.dropouts.{stage}"
            )
    least = method.floor.members
    if least < privacy.min_group:
        raise UserError(
            f"method.floor.members is {least}, below privacy.min_group = {privacy.min_group}: sums of so few are never "
            "unmasked; raise it",
            key="method.floor.members",
            found=least,
        )
    for name in ("lot", "min_class"):
        low = 2 * privacy.min_group if name == "lot" else privacy.class_floor
        value = getattr(method.expert, name, low)
        if method.expert.sight & {Sight.LABELS, Sight.MOMENTS} and value < low:
            raise UserError(
                f"method.expert.{name} is {value}, and under [privacy] it must be ≥ {low}",
                key=f"method.expert.{name}",
                found=value,
            )


def presupposed(privacy: Privacy, given: Mapping[str, Any], method: AnyMethod) -> dict[str, Any]:
    """Dotted keys that the protocol presupposes, as far as they are not given."""
    if not privacy.on:
        return {}
    static = bool(method.expert.sight & {Sight.LABELS, Sight.MOMENTS})
    released = int(getattr(method.expert, "releases", 0)) > 0
    wanted: dict[str, Any] = {"cohort.kind": "lots", "method.floor.members": privacy.min_group}
    if static:
        wanted |= {"method.expert.lot": LOT, "method.expert.min_class": privacy.class_floor}
        if Sight.MOMENTS in method.expert.sight and not released:
            lot = given.get("method", {}).get("expert", {}).get("lot", LOT)
            wanted["cohort.lot"] = lot
    if any(known.name == "weights" for known in dataclasses.fields(cast(Any, method.aggregate))):
        wanted["method.aggregate.weights"] = "uniform"
    rule = getattr(method.grouping, "protected", None)
    if rule is not None:
        wanted |= {f"method.grouping.{name}": value for name, value in rule().items()}
    if hasattr(method.grouping, "floor"):
        surveyed = getattr(method.grouping, "when", "") == "survey"
        wanted["method.grouping.floor"] = LOT if surveyed and static else privacy.min_group
    return {dotted: value for dotted, value in wanted.items() if not _given(given, dotted)}


def _given(tables: Mapping[str, Any], dotted: str) -> bool:
    at: Any = tables
    for word in dotted.split("."):
        if not isinstance(at, Mapping) or word not in at:
            return False
        at = at[word]
    return True
