"""What a client does with its start. Torch is imported inside functions only."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from disue.core.clients import Local
from disue.parts.local.adjusted import LogitAdjusted
from disue.parts.local.controlled import Controlled
from disue.parts.local.erm import Erm

KINDS: Mapping[str, Callable[..., Local]] = {"erm": Erm, "logit-adjusted": LogitAdjusted, "controlled": Controlled}

__all__ = ["KINDS", "Controlled", "Erm", "LogitAdjusted"]
