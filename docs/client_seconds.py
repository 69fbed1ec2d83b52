"""How long a LeNet client of 500 samples trains for five epochs, by backend: what a sketch's cost is set against.

DISUE_DATA=… python docs/client_seconds.py
"""

from __future__ import annotations

from statistics import median

from disue.engine.engine import Engine
from disue.runs.simulation import prepare
from disue.runs.spec import Spec


def main() -> None:
    for backend in ("loop", "lean", "native"):
        spec = Spec.of(
            {
                "data": {"name": "cifar10"},
                "partition": {"kind": "iid", "clients": 30},
                "cohort": {"size": 1},
                "model": {"name": "lenet"},
                "local": {"epochs": 5, "batch": 50},
                "method": {"name": "fedavg"},
            }
        )
        setup = prepare(spec)
        state = setup.method.init(setup.world, setup.start).state
        with Engine(setup.federation, backend=backend) as engine:
            asked = [setup.method.ask(setup.world, state, setup.ids[at : at + 1]) for at in range(5)]
            took = [engine.answer(setup.world, orders).client_seconds for orders in asked]
        print(f"{backend}: {setup.world.layout.d:,} parameters, {median(took):.3f} s")


if __name__ == "__main__":
    main()
