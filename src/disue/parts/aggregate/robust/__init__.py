"""Aggregates that bear liars: a robust centre of each group's updates in the place of their mean."""

from disue.parts.aggregate.robust.bulyan import Bulyan
from disue.parts.aggregate.robust.centred import Centred
from disue.parts.aggregate.robust.clipped import Clipped
from disue.parts.aggregate.robust.foolsgold import FoolsGold
from disue.parts.aggregate.robust.geometric import GeometricMedian
from disue.parts.aggregate.robust.krum import Krum
from disue.parts.aggregate.robust.median import Median
from disue.parts.aggregate.robust.trimmed import Trimmed

KINDS: dict[str, type] = {
    "clipped": Clipped,
    "median": Median,
    "trimmed": Trimmed,
    "krum": Krum,
    "bulyan": Bulyan,
    "geometric-median": GeometricMedian,
    "centred": Centred,
    "foolsgold": FoolsGold,
}

__all__ = [
    "KINDS",
    "Bulyan",
    "Centred",
    "Clipped",
    "FoolsGold",
    "GeometricMedian",
    "Krum",
    "Median",
    "Trimmed",
]
