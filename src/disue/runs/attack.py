"""[attack]: clients that lie, in a simulation. Off unless a kind is named; then the resolved spec holds the table.

Each kind has keys of its own beside those here; its docstring says what its liars know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from disue.attacks import KINDS, Attack
from disue.attacks.expert import FalseCounts
from disue.attacks.poison import Poison
from disue.core.errors import UserError, unknown
from disue.core.orders import Sight
from disue.data import Dataset
from disue.runs.assemble import AnyMethod
from disue.runs.keys import Known, bind, signature_of
from disue.runs.privacy import SKETCHES, Privacy

COMMON = {
    "kind": Known("kind", str, "", "what liars do; left out: nobody lies", {"choices": tuple(KINDS)}),
    "share": Known("share", float, 0.1, "share of the clients that lie, or of the target's members", {"low": 0}),
    "target": Known(
        "target",
        int,
        -1,
        "planted group that liars are drawn of, or that is attacked by liars of all groups, as the kind says; −1: none",
        {"low": -1},
    ),
    "from_round": Known(
        "from_round", int, 1, "the first round in which they lie; a survey before round 1 belongs to it", {"low": 1}
    ),
}
COMPARED = {Sight.COSINE, Sight.GRAM, Sight.VECTORS}


def keys(kind: str) -> dict[str, Known]:
    """The keys of [attack] for one kind."""
    if kind not in KINDS:
        raise unknown("attack.kind", kind, KINDS)
    return {**COMMON, **signature_of(KINDS[kind])}


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """[attack] with its defaults; {} where no kind is named."""
    kind = given.get("kind", "")
    if not isinstance(kind, str):
        raise UserError(f"attack.kind must be text, got {kind!r}", key="attack.kind", found=kind)
    if not kind:
        if len(given) > ("kind" in given):
            raise UserError(f"attack.kind is missing: one of {', '.join(KINDS)}", key="attack.kind")
        return {}
    known = keys(kind)
    table = {name: one.default for name, one in known.items()} | bind("attack", known, given)
    if table["share"] >= 1:
        raise UserError(
            f"attack.share must be a number in [0, 1), got {table['share']:g}: somebody must be honest",
            key="attack.share",
            found=table["share"],
        )
    built(table)  # its own checks of ranges
    return table


def built(table: Mapping[str, Any]) -> Attack:
    return KINDS[str(table["kind"])](**{name: value for name, value in table.items() if name not in COMMON})


def check(table: Mapping[str, Any], method: AnyMethod, privacy: Privacy) -> None:
    """One sentence about an attack that this method gives nothing to lie about."""
    if not table:
        return
    kind, attack, grouping = table["kind"], built(table), method.grouping
    if attack.needs_target and table["target"] < 0:
        raise UserError(
            f'attack.kind "{kind}" attacks a planted group: say which by attack.target', key="attack.target"
        )
    probed = getattr(grouping, "probe", None) is not None
    for holds, why in (
        (
            attack.sketches and privacy.similarity not in SKETCHES,
            'lies in a sketch, and none is made without [privacy] similarity = "sketch"',
        ),
        (
            attack.compared and (probed or not grouping.sight & COMPARED),
            "deceives a server that compares updates, and this method's grouping compares none",
        ),
        (
            attack.likes and getattr(method.start, "choice", "none") != "loss",
            "lies about which model is best, and this method's clients choose none",
        ),
        (
            attack.measured and Sight.MOMENTS not in method.expert.sight,
            "lies about class moments, and this method's expert takes none",
        ),
        (
            attack.counted and not method.expert.sight & {Sight.LABELS, Sight.MOMENTS},
            "lies about label counts, and this method's expert takes none",
        ),
    ):
        if holds:
            raise UserError(f'attack.kind "{kind}" {why}', key="attack.kind", found=kind)


def fits(attack: Attack, dataset: Dataset) -> None:
    """Raises where an attack has no meaning for the data."""
    if isinstance(attack, Poison):
        attack.fits(dataset.kind, dataset.shape, dataset.classes)
    if isinstance(attack, FalseCounts):
        attack.fits(dataset.classes)
