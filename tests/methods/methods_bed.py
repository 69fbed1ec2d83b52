"""Short runs on digits, for the tests of methods."""

from __future__ import annotations

from typing import Any

import disue
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import prepare
from disue.runs.spec import Spec
from disue.runs.threads import one_thread

BASE: dict[str, Any] = {
    "rounds": 3,
    "data": {"name": "digits"},
    "partition": {"clients": 8, "alpha": 0.3},
    "cohort": {"share": 1.0},
    "local": {"epochs": 1, "batch": 20, "lr": 0.05},
    "evaluate": {"every": 100},
    "engine": {"backend": "lean"},  # the choice by measurement is of the machine, and backends differ in the last bit
}


def run(**tables: Any) -> SimulatedRun:
    """To the last round; `tables` take the place of those of `BASE`."""
    federate = SimulatedRun(prepare(Spec.of({**BASE, **tables})), None)
    with one_thread():  # as a run has it: sums of two threads differ in the last bit
        for _ in federate:
            pass
    return federate


def metrics(**tables: Any) -> dict[str, float]:
    """The final figures of a run."""
    found = disue.run({**BASE, **tables})["metrics"]
    return {name: float(value["final"]) for name, value in found.items()}
