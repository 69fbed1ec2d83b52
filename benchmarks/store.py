"""The store of the clients' memories, in RAM and on disk: python benchmarks/store.py [--quick] [--json PATH].

Milliseconds to read and to write a cohort's memories in one round, to save the version, and bytes on disk. Further
arguments: --clients (10,000; with --quick 1,000), --parameters (62,006), --cohort (100).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import asked
import numpy as np

from disue.engine.memory import MemoryStore

ROUNDS = 10


def measure(budget: int, clients: int, d: int, cohort: int) -> dict[str, float]:
    """Medians over rounds, after every client has been asked once."""
    with tempfile.TemporaryDirectory() as name:
        folder, draw = Path(name), np.random.default_rng(0)
        store, value = MemoryStore(budget, folder), draw.standard_normal(d).astype(np.float32)
        for client in range(clients):
            store.put(client, {"c": value})
        store.save(folder, 0)
        times: dict[str, list[float]] = {"read": [], "write": [], "save": []}
        for version in range(1, ROUNDS + 1):
            asked = draw.choice(clients, cohort, replace=False).tolist()
            at = [time.perf_counter()]
            got = [store.get(client)["c"] for client in asked]
            at.append(time.perf_counter())
            for client, old in zip(asked, got, strict=True):
                store.put(client, {"c": old})
            at.append(time.perf_counter())
            store.save(folder, version)
            store.drop(folder, keep=[version])
            at.append(time.perf_counter())
            for key, seconds in zip(times, np.diff(at), strict=True):
                times[key].append(1000 * float(seconds))
        size = sum(path.stat().st_blocks * 512 for path in folder.iterdir())
        return {**{f"{key}_ms": statistics.median(all_) for key, all_ in times.items()}, "disk_bytes": float(size)}


def main() -> None:
    ask = asked.parser(__doc__)
    ask.add_argument("--clients", type=int, default=0)
    ask.add_argument("--parameters", type=int, default=62_006)
    ask.add_argument("--cohort", type=int, default=100)
    given = ask.parse_args()
    clients, d, cohort = given.clients or (1_000 if given.quick else 10_000), given.parameters, given.cohort
    found = {name: measure(budget, clients, d, cohort) for name, budget in (("disk", 0), ("RAM", 2**62))}
    print(f"{clients:,} clients, {d:,} numbers, cohort {cohort}")
    print(f"{'memories':9} {'read ms':>8} {'write ms':>9} {'save ms':>8} {'MiB on disk':>12}")
    for name, row in found.items():
        size = row["disk_bytes"] / 2**20
        print(f"{name:9} {row['read_ms']:8.1f} {row['write_ms']:9.1f} {row['save_ms']:8.1f} {size:12,.0f}")
    asked.write(given, {"clients": clients, "d": d, "cohort": cohort, **found})


if __name__ == "__main__":
    main()
