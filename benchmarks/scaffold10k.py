"""SCAFFOLD with 10,000 clients whose variates lie on disk, killed and resumed: python benchmarks/scaffold10k.py OUT.

Three runs of `disue run` on made-up images, natural (log-normal) sizes, one client in a hundred a round: memories in
RAM; memories on disk; memories on disk, killed by SIGKILL half-way and resumed. Prints seconds a round, the peak of
the proportional set size of all processes, and the SHA-256 of the last state with every client's memory, which must be
the same three times. Ends with 1 where it is not. Figures are of the machine that prints them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import synthetic
from growth import pss

SHAPES = {"tiny": (1, 8, 8), "lenet": (3, 32, 32)}
RAM = 1 << 20  # MiB


def rounds_of(out: Path) -> list[dict[str, Any]]:
    """What rounds.csv holds so far."""
    from disue.runs.folder import read_table

    return read_table(out / "rounds.csv")


def go(words: list[str], out: Path, until: int | None = None) -> dict[str, float]:
    """One process of `disue`; killed when `until` rounds are done."""
    began, peak = time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, "-m", "disue", *words, "--quiet"])
    while process.poll() is None:
        peak = max(peak, pss(process.pid))
        if until is not None and len(rounds_of(out)) > until:
            os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.02 if until is not None else 0.2)
    if process.returncode != (0 if until is None else -signal.SIGKILL):
        raise SystemExit(f"disue {' '.join(words)}: ended with {process.returncode}")
    return {"seconds": time.perf_counter() - began, "peak_pss_MiB": peak / 2**20}


def sha(out: Path, rounds: int) -> str:
    """Of the last state and of every memory, in the order of ids."""
    from disue.engine import MemoryStore

    found = hashlib.sha256((out / "checkpoint" / f"round-{rounds:05d}.safetensors").read_bytes())
    store = MemoryStore(0)
    store.load(out / "checkpoint" / "memory", rounds)
    for client in store.ids:
        found.update(str(client).encode())
        for name, value in sorted(store.get(client).items()):
            found.update(name.encode() + value.tobytes())
    return found.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the JSON file to write")
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=180_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--model", choices=SHAPES, default="tiny")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the runs lie; else a temporary folder")
    given = parser.parse_args()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        base = Path(name)
        sizes = synthetic.natural(given.clients, given.samples)
        data = synthetic.write(base / "made.npz", sizes, SHAPES[given.model])
        spec = base / "spec.toml"
        spec.write_text(
            f'rounds = {given.rounds}\ndata.path = "{data}"\nmodel.name = "{given.model}"\n'
            f'partition.kind = "natural"\ncohort.size = {max(given.clients // 100, 1)}\n'
            f'local = {{ batch = 18, epochs = 5 }}\nmethod.name = "scaffold"\nevaluate.every = {given.rounds}\n'
            f"engine.workers = {given.workers}\ncheckpoint.every = 5\n"
        )
        for kind, memory in (("RAM", RAM), ("disk", 0), ("disk, killed", 0)):
            out = base / kind.replace(", ", "-")
            words = ["run", str(spec), "--out", str(out), "--set", f"engine.memory={memory}"]
            if kind == "disk, killed":
                first = go(words, out, until=given.rounds // 2 + 2)
                again = go(["resume", str(out)], out)
                took = {"seconds": first["seconds"] + again["seconds"]}
                took["peak_pss_MiB"] = max(first["peak_pss_MiB"], again["peak_pss_MiB"])
            else:
                took = go(words, out)
            done = [row for row in rounds_of(out)[1:] if not row["seconds_evaluate"]]
            rows[kind] = {
                **took,
                "round_s": statistics.median(row["seconds_local"] + row["seconds_server"] for row in done),
                "memory_MiB": sum(p.stat().st_blocks for p in (out / "checkpoint" / "memory").iterdir()) * 512 / 2**20,
                "sha256": sha(out, given.rounds),
            }
    print(f"SCAFFOLD, {given.model}, {given.clients:,} clients, {given.rounds} rounds, {given.workers} workers")
    print(f"{'memories':13} {'seconds':>8} {'s/round':>8} {'PSS MiB':>8} {'disk MiB':>9}  SHA-256")
    for kind, row in rows.items():
        print(
            f"{kind:13} {row['seconds']:8.1f} {row['round_s']:8.3f} {row['peak_pss_MiB']:8.0f} "
            f"{row['memory_MiB']:9.1f}  {row['sha256'][:16]}"
        )
    about = {name: str(value) for name, value in vars(given).items() if name not in ("out", "folder")}
    given.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    return int(len({row["sha256"] for row in rows.values()}) != 1)


if __name__ == "__main__":
    sys.exit(main())
