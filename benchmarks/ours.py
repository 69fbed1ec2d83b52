"""The peers' work by `disue.run`, a process of its own: python benchmarks/ours.py WORKLOAD ROUNDS BACKEND WORKERS.

The data is made, written and read in the process, as a user's would be; the run is FedAvg over everybody. The backend
is named, so that no time goes into choosing one. Prints the end of each round like the peers' programs.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "peers"))

import mark
from work import LR

SPARE = 11  # rounds that are never run: the last ten of a run are evaluated, and the peers evaluate nothing


def spec(path: Path, work: Any, rounds: int, backend: str, workers: int) -> dict[str, Any]:
    """What `disue.run` is asked for."""
    return {
        "rounds": rounds + SPARE,
        "data": {"path": str(path)},
        "model": {"name": work.table},
        "partition": {"kind": "natural"},
        "cohort": {"share": 1.0},
        "local": {"lr": LR, "epochs": work.epochs, "batch": work.batch, "clip": 0.0},
        "method": {"name": "fedavg"},
        "evaluate": {"every": rounds + SPARE},
        "engine": {"backend": backend, "workers": workers},
    }


def main() -> None:
    import numpy as np

    work, rounds, (backend, workers) = mark.asked()
    inputs, labels = (tensor.flatten(0, 1).numpy() for tensor in work.data())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.npz"
        owner = np.repeat(np.arange(work.clients), work.samples)
        np.savez(path, x_train=inputs, y_train=labels, x_test=inputs[:10], y_test=labels[:10], client_train=owner)
        del inputs, labels
        import disue

        def note(record: Any) -> str:
            if record.round:
                mark.mark()
            return "stop" if record.round == rounds else ""

        with contextlib.suppress(disue.Stopped):
            disue.run(spec(path, work, rounds, backend, int(workers)), on_round=note)


if __name__ == "__main__":
    main()
