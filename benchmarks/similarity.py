"""The server's similarity and grouping: inner products, sketches, trees. CPU seconds of one thread, peak memory.

python benchmarks/similarity.py [--quick] [--json PATH]

Each case runs in a process of its own, so that its peak is its own; `+` is what it adds to the data it is given.
Float32 rows, normal, seed 0. `sketch` is milliseconds a client and the root mean square error of the cosine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

GRAM = [(100, 62_006), (1_000, 62_006), (100, 11_173_962)]
SKETCH = [(62_006, 200), (1_663_370, 20), (11_173_962, 5)]
LINKAGE = [(1_000, "exact"), (5_000, "default"), (10_000, "default"), (10_000, "exact")]
DOOR = [(10_000, 62_006)]


def peak() -> float:
    """MiB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def drawn(n: int, d: int) -> Any:
    rng = np.random.default_rng(0)
    out = np.empty((n, d), np.float32)
    for row in out:
        rng.standard_normal(out=row, dtype=np.float32)
    return out


def timed(work: Any) -> tuple[Any, float]:
    began = time.process_time()
    return work(), time.process_time() - began


def measure(kind: str, n: int, d: int, how: str = "") -> dict[str, float]:
    """One case, in this process."""
    import torch

    torch.set_num_threads(1)
    from disue.core.sketches import Sketched
    from disue.core.streams import Streams
    from disue.engine.linear import gram, sketch

    streams, none, columns = Streams(0), np.zeros((0, d), np.float32), np.arange(d)
    if kind == "linkage":
        from disue.core.uploads import Gram
        from disue.parts.grouping.points import points_of

        rows = drawn(n, 64)
        rows /= np.linalg.norm(rows, axis=1)[:, None]
        given = Sketched(np.arange(n), rows, np.ones(n), np.zeros((0, n)), np.zeros((0, 0)))
        before = peak()
        if n <= 1_000:
            points = points_of(Gram.of(given.ids, given.values), streams)
        else:
            points = points_of(given, streams, how == "exact")
        _, seconds = timed(lambda: points.merges("average", 20).labels(10))
        return {"seconds": seconds, "added": peak() - before, "peak": peak()}
    rows, start = drawn(min(n, 100) if kind == "door" else n, d), np.zeros(d, np.float32)
    pairs = [(rows[i % len(rows)], start) for i in range(n)]
    before = peak()
    if kind == "gram":
        _found, seconds = timed(lambda: gram(pairs, none, columns)[0])
        return {"seconds": seconds, "added": peak() - before, "peak": peak()}
    made, seconds = timed(lambda: sketch(pairs, none, columns, lambda block: streams("sketch", 0, block)))
    out = {"seconds": seconds, "ms": 1000 * seconds / n, "added": peak() - before, "peak": peak()}
    if kind == "sketch":
        cosine = Sketched(np.arange(n), *made).cosine().values
        norms = np.linalg.norm(rows.astype(np.float64), axis=1) if d < 10**6 else np.sqrt(np.full(n, float(d)))
        true = (rows @ rows.T).astype(np.float64) / np.outer(norms, norms)
        upper = np.triu_indices(n, 1)
        out["rms"] = float(np.sqrt(np.mean((cosine - true)[upper] ** 2)))
    return out


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--quick", action="store_true", help="without the 11 M parameters and the whole tree of 10,000")
    ask.add_argument("--json", type=Path)
    asked = ask.parse_args()
    cases: list[tuple[str, int, int, str]] = [("gram", n, d, "float64") for n, d in GRAM]
    cases += [("sketch", n, d, "256 wide") for d, n in SKETCH]
    cases += [("door", n, d, "256 wide") for n, d in DOOR]
    cases += [("linkage", n, 64, how) for n, how in LINKAGE]
    if asked.quick:
        cases = [case for case in cases if case[2] < 10**7 and case[1:] != (10_000, 64, "exact")]
    rows = []
    print(f"{'':8} {'how':9} {'N':>6} {'d':>11} {'CPU s':>8} {'ms each':>8} {'+ MiB':>7} {'peak MiB':>9} {'rms':>6}")
    for kind, n, d, how in cases:
        code = f"import json, runpy; m = runpy.run_path({__file__!r}); "
        code += f"print(json.dumps(m['measure']({kind!r}, {n}, {d}, {how!r})))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
            print(f"{kind:8} {how:9} {n:6,} {d:11,} left out: {why}")
            rows.append({"case": kind, "how": how, "n": n, "d": d, "left_out": why})
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        rows.append({"case": kind, "how": how, "n": n, "d": d, **found})
        each = f"{found['ms']:8.2f}" if "ms" in found else f"{'':8}"
        rms = f"{found['rms']:6.3f}" if "rms" in found else ""
        print(
            f"{kind:8} {how:9} {n:6,} {d:11,} {found['seconds']:8.2f} {each} "
            f"{found['added']:7.0f} {found['peak']:9.0f} {rms}",
            flush=True,
        )
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
