"""What a client does with its start. Torch is imported inside functions only."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from disue.core.clients import Local
from disue.parts.local.adjusted import LogitAdjusted
from disue.parts.local.branches import Branches
from disue.parts.local.contrastive import Contrastive
from disue.parts.local.controlled import Controlled
from disue.parts.local.dynamic import Dynamic
from disue.parts.local.erm import Erm
from disue.parts.local.fine_tuned import FineTuned
from disue.parts.local.generative import Generative
from disue.parts.local.meta import Meta
from disue.parts.local.mixed import Mixed
from disue.parts.local.moreau import Moreau
from disue.parts.local.normalised import Normalised
from disue.parts.local.not_true import NotTrue
from disue.parts.local.private import HeadFirst, PrivateNorm, PrivatePart
from disue.parts.local.proximal import Proximal
from disue.parts.local.soft import SoftProximal
from disue.parts.local.tethered import Tethered

KINDS: Mapping[str, Callable[..., Local]] = {
    "erm": Erm,
    "logit-adjusted": LogitAdjusted,
    "controlled": Controlled,
    "proximal": Proximal,
    "normalised": Normalised,
    "dynamic": Dynamic,
    "contrastive": Contrastive,
    "not-true": NotTrue,
    "fine-tuned": FineTuned,
    "private-part": PrivatePart,
    "private-norm": PrivateNorm,
    "head-first": HeadFirst,
    "tethered": Tethered,
    "mixed": Mixed,
    "moreau": Moreau,
    "meta": Meta,
    "branches": Branches,
    "soft-proximal": SoftProximal,
    "generative": Generative,
}

__all__ = [
    "KINDS",
    "Branches",
    "Contrastive",
    "Controlled",
    "Dynamic",
    "Erm",
    "FineTuned",
    "Generative",
    "HeadFirst",
    "LogitAdjusted",
    "Meta",
    "Mixed",
    "Moreau",
    "Normalised",
    "NotTrue",
    "PrivateNorm",
    "PrivatePart",
    "Proximal",
    "SoftProximal",
    "Tethered",
]
