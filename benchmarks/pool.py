"""Two workers against one: python benchmarks/pool.py [--quick] [--json PATH].

Wall seconds of whole rounds (two cores are two clocks), one worker and two in turn; how long the workers take to start;
and whether one, two and three workers end with the same bits.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import asked
import timing
from federation import Ours, refusal
from floor import operations
from work import ALL, QUICK, Work

from disue.engine.choice import block_for

BACKENDS = {"w1b18": ("stacked", "native"), "w2": ("lean", "native"), "w3": ("lean", "native"), "r8": ("lean",)}


def measured(work: Work, backend: str, repeats: int) -> dict[str, Any]:
    """Seconds of rounds by one and by two workers, of the workers' first round, and the hashes of all."""
    block = block_for(work.clients, work.batch * operations(work)) if backend == "stacked" else 0
    teams = {workers: Ours(work, backend, block, workers) for workers in (1, 2, 3)}
    hashes, first = {}, {}
    try:
        for workers, team in teams.items():
            began = time.perf_counter()
            hashes[workers] = team.round()
            first[workers] = time.perf_counter() - began
        teams.pop(3).engine.close()  # idle processes as well take memory
        calls = {f"{workers} workers": team.round for workers, team in teams.items()}
        seconds = timing.interleaved(calls, repeats, time.perf_counter)
    finally:
        for team in teams.values():
            team.engine.close()
    start = max(first[2] - median(seconds["2 workers"]), 0.0)
    same = len(set(hashes.values())) == 1
    return {"work": str(work), "block": block, "seconds": seconds, "start": start, "same": same, "hashes": hashes}


def main() -> None:
    given = asked.parse(__doc__)
    timing.one_thread()
    rows: list[dict[str, Any]] = []
    print(
        f"{'':6} {'backend':8} {'1 worker':>9} {'2 workers':>9}  {'gain':20} {'start s':>7}  the same bits with 1, 2, 3"
    )
    for name, backends in BACKENDS.items():
        for backend in backends:
            work = QUICK[name] if given.quick else ALL[name]
            why = refusal(work, backend)
            if why:
                rows.append({"name": name, "backend": backend, "left_out": why})
                print(f"{name:6} {backend:8} left out: {why}")
                continue
            row = {"name": name, "backend": backend, **measured(work, backend, 5)}
            rows.append(row)
            one, two = row["seconds"].values()
            gain = timing.shown(timing.ratio(one, two))
            print(
                f"{name:6} {backend:8} {median(one):9.3f} {median(two):9.3f}  {gain:20} {row['start']:7.2f}  "
                f"{'yes' if row['same'] else 'NO'}",
                flush=True,
            )
    asked.write(given, rows)


if __name__ == "__main__":
    main()
