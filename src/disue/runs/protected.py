"""What summary.json says of a protected run: what was asked, what it cost by phase, what it met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from disue.core.errors import UserError
from disue.runs.folder import Row
from disue.runs.privacy import Privacy
from disue.secure.wire.estimate import k_for

if TYPE_CHECKING:
    from disue.runs.federate import Federate


def about(run: Federate, rows: Sequence[Row], costs: Sequence[Row]) -> dict[str, Any]:
    """The block `privacy` of a summary. rows: of rounds.csv; costs: of privacy.csv."""
    privacy, method = run.setup.spec.privacy, run.setup.method
    phases: dict[str, dict[str, float]] = {}
    for phase in dict.fromkeys(str(cost["phase"]) for cost in costs):
        of = [cost for cost in costs if cost["phase"] == phase]
        took = [float(cost["seconds_client"]) for cost in of if cost["clients"]]
        phases[phase] = {
            "seconds_client": float(np.median(took)) if took else 0.0,
            "seconds_client_most": max(float(cost["seconds_client_most"]) for cost in of),
            "seconds_server": sum(float(cost["seconds_server"]) for cost in of),
            "bytes_up": sum(int(cost["bytes_up"]) for cost in of),
            "bytes_down": sum(int(cost["bytes_down"]) for cost in of),
        }
    out: dict[str, Any] = {
        "similarity": privacy.similarity,
        "min_group": privacy.min_group,
        "min_class": privacy.class_floor,
        "floor": method.floor.members,
        "merge": method.floor.merge,
        "merged": int(sum(float(row.get("floor.merged", 0)) for row in rows)),
        "skipped": int(sum(float(row.get("floor.skipped", 0)) for row in rows)),
        "consistency": privacy.consistency,
        "strict": privacy.strict,
        "randomness": run.side.randomness,
        "phases": phases,
        "met": dict(Counter(_name(text) for text in _events(run) if text.startswith("protected: "))),
    }
    if privacy.similarity == "assign":
        return {**out, "epsilon": str(privacy.epsilon)}
    return {**out, "k": privacy.k, "m": privacy.buckets, **gap(rows, run.setup.ids.size, privacy)}


def gap(rows: Sequence[Row], clients: int, privacy: Privacy) -> dict[str, float]:
    """The last measured cosines within and between groups, and the k that the rule asks for there."""
    for row in reversed(rows):
        if "cosine_within" in row and "cosine_between" in row:
            within, between = float(row["cosine_within"]), float(row["cosine_between"])
            groups = int(float(row.get("groups_found", 2)))
            try:
                needed = k_for(within, between, clients, groups)
            except UserError:
                return {"within": within, "between": between}
            return {"within": within, "between": between, "k_needed": needed}
    return {}


def warned(row: Row, clients: int, privacy: Privacy) -> tuple[str, ...]:
    """A sentence where the sketch is too short for the gap that was measured; said once."""
    found = gap([row], clients, privacy) if privacy.similarity != "assign" else {}
    needed = found.get("k_needed", 0)
    if needed <= privacy.k:
        return ()
    return (
        f"protected: cosines of {found['within']:.2f} within groups and {found['between']:.2f} between them ask for a "
        f"sketch of {needed:.0f} numbers, and privacy.k is {privacy.k}: some clients may be placed by chance",
    )


def _events(run: Federate) -> Sequence[str]:
    return () if run.folder is None else [str(event["event"]) for event in run.folder.events]


def _name(sentence: str) -> str:
    """A sentence about clients without their numbers, to be counted."""
    words = sentence.partition("protected: ")[2].split()
    return " ".join("N" if word.strip(":,.").isdigit() else word for word in words)
