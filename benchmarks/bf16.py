"""bfloat16 against float32: `python benchmarks/bf16.py OUT.json`, seconds and accuracies of the same runs.

FedAvg with LeNet on CIFAR-10 where DISUE_DATA holds it, else with the tiny CNN on digits. A seed's two runs are played
round by round in turn in one process, both with the lean backend, so that neighbours on the machine meet both; seconds
are CPU seconds. Accuracies are means of the last ten rounds on the global test set; differences are paired by seed,
with the 95 % t-interval. Figures are of the machine that prints them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from disue.core.errors import UserError
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import prepare
from disue.runs.spec import Spec
from disue.study.statistics import mean

NAMES = ("float32", "bf16")


def spec_of(data: str, precision: str, seed: int, rounds: int) -> Spec:
    large = data == "cifar10"
    return Spec.of(
        {
            "seed": seed,
            "rounds": rounds,
            "data": {"name": data},
            "model": {"name": "lenet" if large else "tiny"},
            "partition": {"kind": "dirichlet", "clients": 100 if large else 20, "alpha": 0.1},
            "cohort": {"share": 0.1 if large else 0.5},
            "local": {"epochs": 3, "batch": 50 if large else 10, "lr": 0.05, "clip": 10.0},
            "method": {"name": "fedavg"},
            "engine": {"backend": "lean", "workers": 1, "precision": precision},
        }
    )


def play(data: str, seed: int, rounds: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Both runs of a seed, a round of each in turn."""
    runs = {name: iter(SimulatedRun(prepare(spec_of(data, name, seed, rounds)), None)) for name in names}
    spent: dict[str, list[float]] = {name: [] for name in names}
    found: dict[str, list[float]] = {name: [] for name in names}
    for at in range(rounds + 1):
        for name in names if at % 2 else names[::-1]:
            began = time.process_time()
            record = next(runs[name])
            if not record.evaluated and at:
                spent[name].append(time.process_time() - began)
            if at > rounds - 10:
                found[name].append(float(record.row["served_global"]))
    first, second = (spent[name] for name in names)
    return {
        "seed": seed,
        "round_s": {name: statistics.median(spent[name]) for name in names},
        "ratio": statistics.median(a / b for a, b in zip(first, second, strict=True)),
        "accuracy": {name: statistics.mean(found[name]) for name in names},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the JSON file to write")
    parser.add_argument("--data", choices=("cifar10", "digits"), help="default: cifar10 where it is there")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--emulated", action="store_true", help="also where the CPU has no bfloat16 of its own")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    names = (NAMES[0], "bf16-emulated" if given.emulated else NAMES[1])
    data = given.data
    if data is None:
        try:
            prepare(spec_of("cifar10", "float32", 0, 1))
            data = "cifar10"
        except UserError:
            data = "digits"
    rows = []
    print(f"{data}: {given.rounds} rounds")
    print(f"{'seed':>4} {'float32 s':>10} {'bf16 s':>8} {'faster':>7} {'float32 %':>10} bf16 %")
    for seed in range(given.seeds):
        row = play(data, seed, given.rounds, names)
        rows.append(row)
        seconds, scores = (list(row[key].values()) for key in ("round_s", "accuracy"))
        print(
            f"{seed:4} {seconds[0]:10.3f} {seconds[1]:8.3f} {row['ratio']:6.2f}x {scores[0]:10.2f} {scores[1]:6.2f}",
            flush=True,
        )
    change = mean([row["accuracy"][names[1]] - row["accuracy"][names[0]] for row in rows])
    print(f"bf16 − float32: {change.mean:+.2f} ± {change.half:.2f} points ({change.n} seeds)")
    given.out.write_text(
        json.dumps({"data": data, "rows": rows, "points": change.mean, "half": change.half}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
