"""The store of the clients' memories, in RAM and on disk: `python benchmarks/store.py [clients [d [cohort]]]`.

Milliseconds to read and to write a cohort's memories in one round, to save the version, and bytes on disk. Prints a
table, and the same as one line of JSON. Figures are of the machine that prints them.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

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


def main(clients: int = 10_000, d: int = 62_006, cohort: int = 100) -> None:
    found = {name: measure(budget, clients, d, cohort) for name, budget in (("disk", 0), ("RAM", 2**62))}
    print(f"{clients:,} clients, {d:,} numbers, cohort {cohort}")
    print(f"{'memories':9} {'read ms':>8} {'write ms':>9} {'save ms':>8} {'MiB on disk':>12}")
    for name, row in found.items():
        size = row["disk_bytes"] / 2**20
        print(f"{name:9} {row['read_ms']:8.1f} {row['write_ms']:9.1f} {row['save_ms']:8.1f} {size:12,.0f}")
    print(json.dumps({"clients": clients, "d": d, "cohort": cohort, **found}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
