"""Seconds per round and peak memory of a few methods, each in a process of its own: python benchmarks/rounds.py.

Digits always; CIFAR-10 with 100 clients where it lies in the data folder. One thread, like a run. Figures are of the
machine that prints them; compare only figures printed on one machine.
"""

from __future__ import annotations

import json
import subprocess
import sys

DIGITS = {"partition": {"clients": 20}, "cohort": {"share": 0.5}, "local": {"batch": 32, "clip": 10.0}}
CIFAR = {
    "data": {"name": "cifar10"},
    "model": {"name": "cnn"},
    "partition": {"clients": 100},
    "local": {"epochs": 3, "clip": 10.0},
}
CASES = [
    (setting, rounds, method)
    for setting, rounds in (("digits", 10), ("cifar10", 5))
    for method in ("fedavg", "clustered", "disue", "disue-generator")
]


def measure(setting: str, rounds: int, method: str) -> dict[str, float]:
    """One run without a folder; the survey and the first look at the data are in round 0, which is left out."""
    import resource

    import disue

    spec = {**(DIGITS if setting == "digits" else CIFAR), "rounds": rounds, "method": {"name": method}}
    rows = []
    disue.run({**spec, "evaluate": {"every": 1000}}, on_round=lambda record: rows.append(record.row))
    phases = {name: sum(row[f"seconds_{name}"] for row in rows[1:]) / rounds for name in ("local", "server", "expert")}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {**phases, "round": sum(phases.values()), "MiB": peak}


def main() -> None:
    print(f"{'data':9} {'method':16} {'s/round':>8} {'local':>8} {'server':>8} {'expert':>8} {'peak MiB':>9}")
    for case in CASES:
        code = f"import json, runpy; m = runpy.run_path({__file__!r}); print(json.dumps(m['measure']{case!r}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if done.returncode:
            why = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no reason given"
            print(f"{case[0]:9} {case[2]:16} left out: {why.removeprefix('disue.core.errors.UserError: ')}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        times = " ".join(f"{found[name]:8.3f}" for name in ("round", "local", "server", "expert"))
        print(f"{case[0]:9} {case[2]:16} {times} {found['MiB']:9.0f}")


if __name__ == "__main__":
    main()
