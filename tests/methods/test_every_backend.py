"""Every method gives on every backend what it gives on the reference, one step in float32 (and `native` falls back)."""

from __future__ import annotations

import numpy as np
import pytest
from methods_bed import run

ONE_STEP = {"steps": 1, "batch": 20, "lr": 0.05}
NAMES = ("fedavg", "fedprox", "scaffold", "fednova", "feddyn", "moon", "fedntd", "fedyogi", "ifca", "cfl", "fesem")
NAMES += ("fedper", "ditto")


def average(name: str, backend: str) -> np.ndarray:
    found = run(rounds=2, local=ONE_STEP, engine={"backend": backend}, method={"name": name})
    return np.asarray(found.state.average)


@pytest.mark.parametrize("name", NAMES)
def test_backends_agree(name: str) -> None:
    reference = average(name, "loop")
    for backend in ("lean", "stacked", "native"):
        assert np.abs(average(name, backend) - reference).max() <= 1e-5, backend
