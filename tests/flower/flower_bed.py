"""The conformance scenario as sites of a local grid, beside the same run as a simulation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Message

from disue.flower.apps import client_app
from disue.flower.local import LocalGrid
from disue.flower.serve import checked
from disue.flower.split import arrays_of, spec_of
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import Simulation, prepare
from disue.runs.spec import Spec
from disue.testing.named import named, needs_of
from disue.testing.scenario import Scenario

Fault = Callable[[int, Message], "list[Message] | None"]


def tables(name: str, **changes: Any) -> tuple[Scenario, dict[str, Any]]:
    """A spec's tables of a method in the conformance scenario."""
    subject = named(name)
    scenario = subject.scenario
    given = {
        **scenario.tables(),
        **subject.tables,
        "engine": {"backend": "lean", "workers": 1},
        "evaluate": {"every": 1},
        **changes,
    }
    return scenario, given


def simulation(name: str, **changes: Any) -> Simulation:
    scenario, given = tables(name, **changes)
    dataset, partition = scenario.data()
    return prepare(Spec.of(given), None, partition, dataset=dataset)


def sites(setup: Simulation, folder: Path) -> dict[int, dict[str, Any]]:
    """Node id → its configuration; node ids say nothing of clients."""
    folder.mkdir(parents=True, exist_ok=True)
    out = {}
    for at, client in enumerate(setup.ids.tolist()):
        path = folder / f"site-{client}.npz"
        np.savez(path, **arrays_of(setup, client))
        out[9_000 - 7 * at] = {"client": str(client), "data": str(path), "store": str(folder / f"store-{client}")}
    return out


def grid(setup: Simulation, folder: Path, fault: Fault | None = None, **given: Any) -> tuple[Spec, LocalGrid]:
    spec = spec_of(setup)
    return spec, LocalGrid(client_app(spec, **given), sites(setup, folder), fault)


def simulated(setup: Simulation) -> SimulatedRun:
    run = SimulatedRun(setup, None)
    for _ in run:
        pass
    return run


__all__ = ["checked", "grid", "needs_of", "simulated", "simulation", "sites", "tables"]
