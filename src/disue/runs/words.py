"""Meanings of keys that are the same wherever they occur; what a constructor's own docstring says goes first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from disue.runs.keys import Known

WORDS: dict[str, str] = {
    "k": "number of groups",
    "share": "the client starts from share · expert + (1 − share) · its group's model",
    "groups": "client id → group number, for every client",
    "steps": "exactly so many steps instead of epochs; 0: epochs",
    "lr": "learning rate of SGD",
    "momentum": "momentum of SGD, fresh every round",
    "weight_decay": "weight decay of SGD",
    "smooth": "added to the label shares before their logarithm",
    "k_max": "the largest number of groups that the rule considers",
    "linkage": "distance of two groups: mean, largest or smallest over their members",
    "enabled": "false: the average is the expert, bit for bit",
    "decay": "what is kept loses weight by this factor a round",
    "warmup": "rounds before the adversarial terms begin",
    "ramp": "rounds over which they rise to their full weight",
    "generator_lr": "learning rate of the generator's Adam",
    "generator_clip": "largest norm of the generator's gradient",
    "student_lr": "learning rate of the student's SGD",
    "student_momentum": "momentum of the student's SGD",
    "student_clip": "largest norm of the student's gradient",
}
# Of [partition]: its functions need the data to run, so their ranges stand here, to be checked before it is loaded.
PARTITION: dict[str, str] = {
    "clients": "number of clients, newcomers included",
    "alpha": "α of the Dirichlet distribution: the smaller, the fewer labels a client has",
    "groups": "number of planted groups",
    "shards": "shards for each client",
    "min_size": "samples that a client has at least",
}
RANGES: dict[str, dict[str, float]] = {
    "clients": {"low": 1},
    "alpha": {"above": 0},
    "groups": {"low": 1},
    "shards": {"low": 1},
    "min_size": {"low": 1},
}


def worded(keys: Mapping[str, Known], words: Mapping[str, str] = WORDS) -> dict[str, Known]:
    """`keys` with a meaning from `words` where they have none of their own, and [partition]'s with its ranges."""
    ranges = RANGES if words is PARTITION else {}
    return {
        name: dataclasses.replace(
            known, doc=known.doc or words.get(name, ""), metadata={**known.metadata, **ranges.get(name, {})}
        )
        for name, known in keys.items()
    }
