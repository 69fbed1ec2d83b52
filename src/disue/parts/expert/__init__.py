"""What do all groups know together? The answers that are shipped, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from disue.core.errors import unknown
from disue.core.method import Expert
from disue.parts.expert.average import AverageExpert
from disue.parts.expert.calibrated import Calibrated
from disue.parts.expert.ensemble import EnsembleDistil
from disue.parts.expert.hard_samples import HardSamples
from disue.parts.expert.none import NoExpert
from disue.parts.expert.synthesis import Synthesis
from disue.parts.expert.transferred import FeatureTransfer

Constructor: TypeAlias = Callable[..., Expert[Any]]

FAMILIES: Mapping[str, str] = {
    "moments": "disue.parts.expert.moments:MomentsDistil",
    "generator": "disue.parts.expert.generator:GeneratorDistil",
}


def family(name: str) -> Constructor:
    """The class of a family; its module is imported only now."""
    if name not in FAMILIES:
        raise unknown("expert.family", name, FAMILIES)
    module, _, kind = FAMILIES[name].partition(":")
    found: Constructor = getattr(importlib.import_module(module), kind)
    return found


_family = family  # `Distil` has an argument of that name


def Distil(family: str = "moments", **args: object) -> Expert[Any]:
    """The distilled expert of a family; further arguments are those of the family's class."""
    return _family(family)(**args)


KINDS: Mapping[str, Constructor] = {
    "none": NoExpert,
    "average": AverageExpert,
    "distil": Distil,
    "ensemble": EnsembleDistil,
    "calibrated": Calibrated,
    "transferred": FeatureTransfer,
    "hard-samples": HardSamples,
    "synthesis": Synthesis,
}

__all__ = [
    "FAMILIES",
    "KINDS",
    "AverageExpert",
    "Calibrated",
    "Distil",
    "EnsembleDistil",
    "FeatureTransfer",
    "HardSamples",
    "NoExpert",
    "Synthesis",
    "family",
]
