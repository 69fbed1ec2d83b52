"""Plain local training whose clients fine-tune what they receive before they use it (FedAvg-FT)."""

from __future__ import annotations

from dataclasses import dataclass, fields

from disue.core.clients import Local
from disue.parts.local.erm import Erm, require
from disue.parts.local.rule import Rule, received


@dataclass(frozen=True)
class FineTuned(Erm):
    """`Erm`; a client's own model is the received one after some passes over its data, made anew in every evaluation.

    tuning  passes of fine-tuning, with the rate and the batches of training; 0: it uses what it received
    """

    tuning: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require("tuning", self.tuning, self.tuning >= 0, "≥ 0")

    @property
    def personal(self) -> Local:
        if not self.tuning:
            return Rule(received)
        plain = {field.name: getattr(self, field.name) for field in fields(Erm)}
        return Erm(**{**plain, "epochs": self.tuning, "steps": 0})
