"""Through a local grid every method ends with the simulator's bits: the same state, the same memories at the sites."""

from __future__ import annotations

from pathlib import Path

import pytest
from flower_bed import grid, simulated, simulation

from disue.flower.serve import start
from disue.testing.compare import difference
from disue.testing.named import names


@pytest.mark.parametrize("name", names())
def test_the_same_bits_as_a_simulation(name: str, tmp_path: Path) -> None:
    setup = simulation(name)
    spec, nodes = grid(setup, tmp_path)
    run = start(nodes, spec, None, local=True)
    for _ in run:
        pass
    here = simulated(setup)
    assert difference(run.state, here.state) == ""
