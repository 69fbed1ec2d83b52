"""[privacy]: the protected protocol, and the keys of training that it presupposes.

Everything that changes training is a key of its own ([cohort] kind and lot, [method.floor], a grouping's rule, an
expert's lot), which exists in plain runs too. [privacy] fills them in where they are not given, so that the resolved
spec without its [privacy] table is the protected run's plain twin.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from disue.core.errors import UserError
from disue.core.orders import Sight
from disue.core.uploads import Door
from disue.parts.grouping.linkage import SURVEYED
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
FEWEST = 3  # clients of an exchange
BUCKETS = 2**24
ENTRIES = 2**28  # of the Gaussian matrix, k · m: 2 GiB
STATIC = {Sight.LABELS, Sight.MOMENTS}


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
    def lot_floor(self) -> int:
        """Clients of a lot below which nothing static is summed."""
        return 2 * self.min_group

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
    _sketches(privacy)
    _bound(privacy)
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
    if Sight.CHOICE in privacy.door.offers and getattr(method.start, "choice", "none") == "shares":
        raise UserError(
            "the method counts each client in several groups by its shares, and under [privacy] sums are over groups "
            "of whole clients: take another method",
            key="method.start.choice",
            found="shares",
        )
    if method.expert.sight & STATIC:
        _static(privacy, method)


def _sketches(privacy: Privacy) -> None:
    k, m = privacy.k, privacy.m
    if m and m & (m - 1):
        raise UserError(f"privacy.m must be a power of two, got {m}", key="privacy.m", found=m)
    if not m and k & (k - 1):
        raise UserError(
            f"privacy.k must be a power of two unless privacy.m is given, got {k}", key="privacy.k", found=k
        )
    if k % 8:
        raise UserError(f"privacy.k must be a multiple of 8, got {k}", key="privacy.k", found=k)
    if m and not k <= m <= BUCKETS:
        raise UserError(
            f"privacy.m must be ≥ privacy.k = {k} and ≤ {BUCKETS}, got {m}", key="privacy.m", found=m
        )  # fewer buckets than numbers: the numbers would say the same again
    if k * privacy.buckets > ENTRIES:
        raise UserError(
            f"privacy.k is {k} and privacy.m {privacy.buckets}: each client would fill a matrix of "
            f"{k * privacy.buckets} entries, and at most {ENTRIES} are allowed",
            key="privacy.k",
            found=k,
        )


def _bound(privacy: Privacy) -> None:
    if not math.isfinite(privacy.update_bound):
        raise UserError(
            f"privacy.update_bound must be finite, got {privacy.update_bound}",
            key="privacy.update_bound",
            found=privacy.update_bound,
        )


def _static(privacy: Privacy, method: AnyMethod) -> None:
    """Whether the expert's label counts and moments can be summed over lots."""
    if not _has(method.expert, "lot"):
        raise UserError(
            "the expert sums label counts or moments over whoever is there, and under [privacy] they are summed over "
            'standing lots alone: take method.expert.kind = "distil", which has lots',
            key="method.expert",
        )
    lot, least = (int(getattr(method.expert, name)) for name in ("lot", "min_class"))
    for name, value, low in (("lot", lot, privacy.lot_floor), ("min_class", least, privacy.class_floor)):
        if value < low:
            raise UserError(
                f"method.expert.{name} is {value}, and under [privacy] it must be ≥ {low}",
                key=f"method.expert.{name}",
                found=value,
            )
    if least > lot:
        raise UserError(
            f"method.expert.min_class is {least}, above method.expert.lot = {lot}: no class would ever be released",
            key="method.expert.min_class",
            found=least,
        )
    floor = getattr(method.grouping, "floor", privacy.lot_floor)
    if _surveyed(method) and floor < privacy.lot_floor:
        raise UserError(
            f"method.grouping.floor is {floor}: a lot lies within a group, and under [privacy] it needs ≥ "
            f"{privacy.lot_floor} clients",
            key="method.grouping.floor",
            found=floor,
        )


def check_clients(privacy: Privacy, method: AnyMethod, clients: int, cohort: int) -> None:
    """One sentence about what so many clients cannot be asked for; cohort: about how many are asked in a round."""
    if not privacy.on:
        return
    least = privacy.lot_floor if method.expert.sight & STATIC else FEWEST
    least = max(least, privacy.min_group)
    if clients < least:
        raise UserError(
            f"there are {clients} clients, and what is asked of them under [privacy] needs ≥ {least}",
            key="partition.clients",
            found=clients,
        )
    from disue.secure.server.sections import MOST
    from disue.secure.wire.ring import fits

    surveys = Sight.COSINE in method.grouping.sight and getattr(method.grouping, "when", "survey") == "survey"
    weights = {method.aggregate.weights} | ({getattr(method.grouping, "weights", "samples")} if surveys else set())
    weight = 1.0 if weights == {"uniform"} else MOST
    most = max(cohort, min(clients, SURVEYED)) if surveys else cohort
    if not fits(most, privacy.update_bound, weight, privacy.scale_bits):
        raise UserError(
            f"privacy.update_bound is {privacy.update_bound:g} and privacy.scale_bits {privacy.scale_bits}: a sum over "
            f"{most} clients could overflow 64 bits; lower one of them",
            key="privacy.scale_bits",
            found=privacy.scale_bits,
        )


def remarks(privacy: Privacy, method: AnyMethod, cohort: str, lot: int) -> tuple[str, ...]:
    """What is asked for that gives single clients away over many rounds; cohort: its kind, and the clients of a lot."""
    if not privacy.on:
        return ()
    out = []
    if cohort != "lots":
        out.append(
            f'protected: with cohort.kind = "{cohort}" sums are over changing sets: what a client\'s updates have in '
            'common over the rounds can be worked out from them; cohort.kind = "lots" hides it'
        )
    elif lot < privacy.min_group:
        out.append(
            f"protected: cohorts are drawn by lots of {lot}, and what those have in common over the rounds can be "
            f"worked out from sums; cohort.lot ≥ {privacy.min_group} hides it among as many"
        )
    stands = _surveyed(method) and not getattr(method.grouping, "regroup", 0)
    if method.grouping.sight & {Sight.COSINE, Sight.CHOICE} and not stands:
        out.append(
            "protected: groups are made anew in the run, so that sums cut through lots: what a client's updates have "
            "in common over the rounds can be worked out if its groups change often"
        )
    if method.aggregate.weights != "uniform":
        out.append(
            "protected: clients weigh by their samples, and how many each holds can be worked out from the sums of "
            "many rounds"
        )
    return tuple(out)


def presupposed(privacy: Privacy, given: Mapping[str, Any], method: AnyMethod) -> dict[str, Any]:
    """Dotted keys that the protocol presupposes, as far as they are not given."""
    if not privacy.on:
        return {}
    static = bool(method.expert.sight & STATIC) and _has(method.expert, "lot")
    size = max(LOT, privacy.lot_floor)
    released = int(getattr(method.expert, "releases", 0)) > 0
    wanted: dict[str, Any] = {"cohort.kind": "lots", "method.floor.members": privacy.min_group}
    if static:
        wanted |= {"method.expert.lot": size, "method.expert.min_class": privacy.class_floor}
        if Sight.MOMENTS in method.expert.sight and not released:
            lot = int(getattr(method.expert, "lot", 0)) if _given(given, "method.expert.lot") else size
            wanted["cohort.lot"] = max(lot, 1)  # of a lot that is too small `check` speaks
    if _has(method.aggregate, "weights"):
        wanted["method.aggregate.weights"] = "uniform"
    rule = getattr(method.grouping, "protected", None)
    if rule is not None:
        wanted |= {f"method.grouping.{name}": value for name, value in rule().items()}
    if hasattr(method.grouping, "floor"):
        wanted["method.grouping.floor"] = size if _surveyed(method) and static else privacy.min_group
    return {dotted: value for dotted, value in wanted.items() if not _given(given, dotted)}


def _has(part: object, name: str) -> bool:
    """Whether a part has a key of this name."""
    return any(known.name == name for known in dataclasses.fields(cast(Any, part)))


def _surveyed(method: AnyMethod) -> bool:
    return getattr(method.grouping, "when", "") == "survey"


def _given(tables: Mapping[str, Any], dotted: str) -> bool:
    at: Any = tables
    for word in dotted.split("."):
        if not isinstance(at, Mapping) or word not in at:
            return False
        at = at[word]
    return True
