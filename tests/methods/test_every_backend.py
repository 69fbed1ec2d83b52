"""Every method gives on every backend what it gives on the reference, one step in float32 (and `native` falls back)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from disue.runs.federate import Federate
from disue.runs.setup import prepare
from disue.runs.spec import Spec

BASE: dict[str, Any] = {
    "rounds": 2,
    "data": {"name": "digits"},
    "partition": {"clients": 8, "alpha": 0.3},
    "cohort": {"share": 1.0},
    "local": {"steps": 1, "batch": 20, "lr": 0.05},
    "evaluate": {"every": 100},
}
NAMES = ("fedavg", "fedprox", "scaffold", "fednova", "feddyn", "moon", "fedntd", "fedyogi", "ifca", "cfl", "fesem")


def average(name: str, backend: str) -> np.ndarray:
    federate = Federate(prepare(Spec.of({**BASE, "engine": {"backend": backend}, "method": {"name": name}})), None)
    for _ in federate:
        pass
    return np.asarray(federate.state.average)


@pytest.mark.parametrize("name", NAMES)
def test_backends_agree(name: str) -> None:
    reference = average(name, "loop")
    for backend in ("lean", "stacked", "native"):
        assert np.abs(average(name, backend) - reference).max() <= 1e-5, backend
