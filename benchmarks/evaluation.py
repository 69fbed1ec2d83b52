"""What evaluation costs: python benchmarks/evaluation.py [--quick] [--json PATH].

First a forward pass by model and batch, CPU microseconds a sample; `own` is the batch that the library takes. Then its
share of a run: DisUE with four groups on W2's federation (10 clients × 500 × 5, LeNet), 3,000 test images, the default
cadence. Of 200 rounds 20 are run (one with --quick), and each part's seconds are those of rounds.csv; the whole run's
are reckoned from them: the median round without evaluation 200 times, round 0 once, the median evaluation as often as
one is due, the last ten rounds included.
"""

from __future__ import annotations

import contextlib
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import asked
import synthetic
import timing
import torch
from work import ALL

BATCHES = (32, 100, 256, 500, 1000)
ROUNDS = 200
PARTS = ("seconds_local", "seconds_server", "seconds_expert")


def passes(quick: bool) -> list[dict[str, Any]]:
    """µs a sample, by model and batch."""
    from disue.models.flat import flatten
    from disue.models.network import TorchNetwork

    rows = []
    for name in ("w1b18", "w2", "w3", "r8"):
        work = ALL[name]
        module = work.module()
        given = flatten(module), torch.randn(1000, *work.shape).numpy()
        networks = {str(b): TorchNetwork(module, work.shape, batch=b) for b in BATCHES}
        networks["own"] = TorchNetwork(module, work.shape)
        calls = {batch: partial(network.logits, *given) for batch, network in networks.items()}
        times = timing.interleaved(calls, 3 if quick else 7)
        micro = {b: 1e6 * median(found) / len(given[1]) for b, found in times.items()}
        rows.append({"name": name, "model": work.table, "own_batch": networks["own"].batch, "micro": micro})
    return rows


def share(quick: bool) -> dict[str, Any]:
    """Seconds of each part of a round, and the evaluation's share of the whole run."""
    import disue
    from disue.runs.federate import LAST

    work, last = ALL["w2"], 1 if quick else 20
    every = 1 if quick else 10
    rows: list[dict[str, Any]] = []

    def note(record: Any) -> str:
        rows.append({**record.row, "evaluated": record.evaluated})
        return "stop" if record.round == last else ""

    with tempfile.TemporaryDirectory() as folder:
        sizes = synthetic.equal(work.clients, work.samples)
        path = synthetic.write(Path(folder) / "made.npz", sizes, work.shape, test=3000)
        spec = {
            "rounds": ROUNDS,
            "data": {"path": str(path)},
            "model": {"name": work.table},
            "partition": {"kind": "natural"},
            "cohort": {"share": 1.0},
            "local": {"epochs": work.epochs, "batch": work.batch},
            "method": {"name": "disue", "k": 4},
            "evaluate": {"every": every},
            "engine": {"backend": "lean"},
        }
        with contextlib.suppress(disue.Stopped):
            disue.run(spec, on_round=note)
    spent = [sum(row[part] for part in PARTS) for row in rows]
    evaluations = [row["seconds_evaluate"] for row in rows if row["evaluated"]]
    due = sum(r % 10 == 0 or r > ROUNDS - LAST for r in range(ROUNDS + 1))
    one = median(evaluations[1:])
    whole = spent[0] + ROUNDS * median(spent[1:]) + due * one
    parts = {part: median([row[part] for row in rows[1:]]) for part in PARTS}
    return {"rounds_run": last, **parts, "evaluation": one, "evaluations": due, "share": due * one / whole}


def main() -> None:
    given = asked.parse(__doc__)
    timing.one_thread()
    found = {"passes": passes(given.quick)}
    print(f"{'µs a sample':12} " + " ".join(f"{b:>7}" for b in BATCHES) + "     own")
    for row in found["passes"]:
        print(
            f"{row['model']:12} "
            + " ".join(f"{row['micro'][str(b)]:7.1f}" for b in BATCHES)
            + f" {row['micro']['own']:7.1f} (batch {row['own_batch']})"
        )
    found["run"] = run = share(given.quick)
    print(
        f"\na round of DisUE on W2: local {run['seconds_local']:.2f} s, server {run['seconds_server']:.2f} s, "
        f"expert {run['seconds_expert']:.2f} s; an evaluation {run['evaluation']:.3f} s\n"
        f"{run['evaluations']} evaluations in {ROUNDS} rounds: {run['share']:.1%} of the run "
        f"(reckoned from {run['rounds_run']} rounds)"
    )
    asked.write(given, found)


if __name__ == "__main__":
    main()
