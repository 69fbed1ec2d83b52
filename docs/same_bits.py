"""Holds a run over a real network against a simulation of the same sites, bit for bit.

    disue flower demo --out demo
    python docs/same_bits.py demo

The folder is one that `disue flower demo` left: sites/site-NAME.npz and run/. The simulation is given the sites'
samples as its clients and the run's own spec; its state at the end must be the run's last checkpoint in every array.
Exit code 1 where it is not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from disue import data
from disue.core import tree
from disue.core.streams import Streams
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import prepare
from disue.runs.spec import Spec
from disue.runs.threads import one_thread


def simulation(folder: Path) -> SimulatedRun:
    """The run's spec on the sites' samples, played to the end."""
    spec = Spec.read(folder / "run" / "spec.toml")
    nodes = json.loads((folder / "run" / "nodes.json").read_text(encoding="utf-8"))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("x_train", "y_train", "x_test", "y_test")}
    owners: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for client in nodes["clients"]:
        with np.load(folder / "sites" / f"site-{client['name']}.npz") as file:
            for name, found in parts.items():
                found.append(file[name])
            for part, found in owners.items():
                found.append(np.full(len(file[f"y_{part}"]), client["id"]))
    dataset = data.Dataset(
        "sites",
        **{name: np.concatenate(found) for name, found in parts.items()},
        classes=nodes["classes"],
        kind=nodes["kind"],
        client_train=np.concatenate(owners["train"]),
        client_test=np.concatenate(owners["test"]),
        mean=np.array(spec.data.mean),
        std=np.array(spec.data.std),
    )
    tables = {name: table for name, table in spec.tables().items() if name != "network"}
    backend = "lean" if spec.engine.backend == "auto" else spec.engine.backend
    alike = Spec.of(tables, {"engine.backend": backend, "engine.workers": 1})
    partition = data.make(dataset, "natural", streams=Streams(spec.seed))
    run = SimulatedRun(prepare(alike, dataset=dataset, partition=partition))
    with one_thread():
        for _ in run:
            pass
    return run


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    run = simulation(folder)
    here, _ = tree.take(run.state)
    there = load_file(sorted((folder / "run" / "checkpoint").glob("round-*.safetensors"))[-1])
    other = [name for name, value in here.items() if name not in there or not np.array_equal(there[name], value)]
    what = (
        f"{run.setup.spec.method['name']}, {'protected' if run.setup.spec.privacy.on else 'plain'}, round {run.round}"
    )
    print(f"{folder}: {what}: {len(here) - len(other)} of {len(here)} arrays of the state are the simulation's")
    sys.exit(1 if other else 0)


if __name__ == "__main__":
    main()
