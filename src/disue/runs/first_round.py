"""What the checks of privacy need from clients: what they learn in a first round, and what a run must not show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from disue.core.checks import Array, Matrix
from disue.core.errors import UserError
from disue.engine.engine import Engine
from disue.runs.simulation import Simulation, prepare
from disue.runs.spec import Spec
from disue.secure.check.labels import Learnt

CLIENTS = 40
SPEC = {
    "rounds": 1,
    "data": {"name": "digits"},
    "partition": {"kind": "dirichlet", "alpha": 0.1, "clients": CLIENTS},
    "local": {"epochs": 5, "lr": 0.1},
    "method": {"name": "fedavg"},
}


def first_round(seed: int = 0, data_dir: str | Path | None = None) -> Learnt:
    """Updates of 40 clients on digits, Dirichlet 0.1; and one per class from the test samples, which nobody trains on.

    The attacker knows the model that clients started from and how they train.
    """
    setup = prepare(Spec.of(SPEC, {"seed": seed}), data_dir)
    dataset = setup.dataset
    public = replace(dataset, x_train=dataset.x_test, y_train=dataset.y_test, client_train=dataset.y_test)
    attacker = prepare(Spec.of({**SPEC, "partition": {"kind": "natural"}}, {"seed": seed}), dataset=public)
    counts = setup.partition.counts(dataset.y_train)[setup.partition.places(setup.ids)]
    layout = setup.world.layout
    bias = int(layout.head(np.arange(layout.d, dtype=np.float32))[1][0])
    return Learnt(_updates(setup), counts, _updates(attacker), bias, "digits, first round")


def _updates(setup: Simulation) -> Matrix:
    """(n, d) end − start of all clients, in the order of their ids."""
    state = setup.method.init(setup.world, setup.start).state
    with Engine(setup.federation) as engine:
        ends = engine.answer(setup.world, setup.method.ask(setup.world, state, setup.ids)).ends
    return np.stack([ends[client] - setup.start for client in setup.ids.tolist()])


def hidden_of(run: str | Path, data_dir: str | Path | None = None) -> dict[str, Array]:
    """What a run's clients have that its server must not see: label counts, from the data that the spec names."""
    path = Path(run) / "spec.toml"
    if not path.exists():
        raise UserError(f"{run}: holds no run (no spec.toml)", key="run")
    setup = prepare(Spec.read(path), data_dir)
    counts = setup.partition.counts(setup.dataset.y_train)
    return {f"label counts of client {client}": counts[at] for at, client in enumerate(setup.federation.ids.tolist())}
