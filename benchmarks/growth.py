"""What a run costs as it grows: python benchmarks/growth.py [--quick] [--json PATH] [--methods fedavg].

In clients, in the model's parameters, in groups; rows are marked by `axis`, `seconds` is a round's CPU time.
Clients: W1 (tiny CNN, 8x8, 18 samples a client), cohorts of 10 and 100 out of 100 to 100,000 clients; natural sizes:
10,000 clients of log-normal sizes, one in a hundred a round, with W1 and with LeNet on images shaped like CIFAR-10.
Parameters: multi-layer perceptrons of one hidden layer, 100 clients, ten a round, 18 samples, 5 epochs. Groups: DisUE
with W1's model, 400 clients, 100 a round.
A case runs in a process of its own, the natural sizes with two workers, the others without. Seconds are CPU seconds of
the process and its workers, so that neighbours count less; peak memory is their proportional set size. Figures are of
the machine that prints them.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import asked
import synthetic

COUNTS = (100, 1_000, 10_000, 100_000)
HIDDEN = (64, 1_000, 13_000, 149_000)  # units: 4,810 to 11 million weights
GROUPS = (2, 4, 8, 16, 32)


def cases(quick: bool) -> list[dict[str, Any]]:
    """One dictionary a run."""
    w1 = {"model": {"name": "tiny"}, "shape": (1, 8, 8), "each": 18, "batch": 18, "rounds": 20 if quick else 100}
    counts = COUNTS[:3] if quick else COUNTS
    cohorts = (10,) if quick else (10, 100)
    out = [{**w1, "axis": "clients", "name": "w1", "clients": n, "cohort": c} for c in cohorts for n in counts]
    if not quick:
        wide = {"axis": "natural", "natural": True, "clients": 10_000, "cohort": 100, "workers": 2}
        out.append({**w1, **wide, "name": "w1 natural", "samples": 180_000})
        lenet = {"model": {"name": "lenet"}, "shape": (3, 32, 32), "batch": 50, "rounds": 20, "samples": 200_000}
        out.append({**lenet, **wide, "name": "lenet natural"})
    few = {**w1, "name": "mlp", "axis": "parameters", "clients": 100, "cohort": 10, "rounds": 17}
    for units in HIDDEN[: 2 if quick else None]:
        out.append({**few, "model": {"name": "mlp", "hidden": [units]}, "parameters": 75 * units + 10})
    many = {**w1, "name": "w1 groups", "axis": "groups", "clients": 400, "cohort": 100, "rounds": 13 if quick else 25}
    for k in GROUPS[: 2 if quick else None]:
        out.append({**many, "groups": k})
    return out


def pss(process: int) -> int:
    """Bytes of the proportional set size of a process and all its children; 0 where the system does not say."""
    total = 0
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
        for task in Path(f"/proc/{process}/task").iterdir():
            total += sum(pss(int(child)) for child in (task / "children").read_text().split())
    except (OSError, StopIteration):
        pass  # the process has ended, or there is no /proc
    return total


def cpu(process: int, own: bool = False) -> float:
    """CPU seconds of the processes below one, in steps of the kernel's clock."""
    total = 0.0
    try:
        if own:
            words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
        for task in Path(f"/proc/{process}/task").iterdir():
            total += sum(cpu(int(child), own=True) for child in (task / "children").read_text().split())
    except OSError:
        pass
    return total


def play(case: dict[str, Any], method: str) -> dict[str, float]:
    """One run without a folder, in this process."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            peak[0] = max(peak[0], pss(os.getpid()))

    with tempfile.TemporaryDirectory() as folder:
        n = case["clients"]
        sizes = synthetic.natural(n, case["samples"]) if case.get("natural") else synthetic.equal(n, case["each"])
        path = synthetic.write(Path(folder) / "made.npz", sizes, tuple(case["shape"]))
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()

        def spent_so_far() -> float:
            return time.process_time() + cpu(os.getpid())

        stamps, evaluated = [spent_so_far()], []

        def note(record: Any) -> None:
            stamps.append(spent_so_far())
            evaluated.append(record.evaluated)

        import disue

        spec = {
            "data": {"path": str(path)},
            "model": case["model"],
            "partition": {"kind": "natural"},
            "cohort": {"size": case["cohort"]},
            "rounds": case["rounds"],
            "local": {"batch": case["batch"], "epochs": 5},
            "evaluate": {"every": case["rounds"] + 1},
            "method": {"name": "disue", "k": case["groups"]} if "groups" in case else {"name": method},
            "engine": {"workers": case.get("workers", 1)},
        }
        disue.run(spec, on_round=note)
        peak[0] = max(peak[0], pss(os.getpid()))
        done.set()
        watcher.join()
    spent = [after - before for before, after in pairwise(stamps)]
    plain = [s for s, e in zip(spent[1:], evaluated[1:], strict=True) if not e]
    scored = [s for s, e in zip(spent[1:], evaluated[1:], strict=True) if e]
    return {
        "start_s": spent[0],
        "seconds": statistics.median(plain),
        "evaluated_round_s": statistics.median(scored),
        "peak_pss_MiB": peak[0] / 2**20,
    }


def slope(found: list[dict[str, Any]]) -> float:
    """b of seconds = a · N^b by least squares on logarithms: 0 where a round does not know N."""
    x = [math.log(f["clients"]) for f in found]
    y = [math.log(f["seconds"]) for f in found]
    mx, my = statistics.mean(x), statistics.mean(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)


def main() -> None:
    parser = asked.parser(__doc__)
    parser.add_argument("--methods", nargs="+", default=["fedavg"])
    parser.add_argument("--only", nargs="*", help="these axes only: clients, natural, parameters, groups")
    given = parser.parse_args()
    print(
        f"{'method':10} {'case':14} {'clients':>8} {'cohort':>6} {'weights':>11} {'groups':>6} {'start s':>8} "
        f"{'s/round':>9} {'evaluated':>9} {'MiB':>6}"
    )
    rows: list[dict[str, Any]] = []
    for method in given.methods:
        for case in cases(given.quick):
            if given.only and case["axis"] not in given.only:
                continue
            called = "disue" if "groups" in case else method
            call = f"m['play']({case!r}, {method!r})"
            code = f"import json, runpy; m = runpy.run_path({__file__!r}); print(json.dumps({call}))"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            if done.returncode:
                why = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no reason given"
                rows.append({"method": called, **case, "left_out": why})
                print(f"{called:10} {case['name']:14} {case['clients']:8,} left out: {why}", flush=True)
                continue
            row = {"method": called, **case, **json.loads(done.stdout.splitlines()[-1])}
            rows.append(row)
            print(
                f"{called:10} {case['name']:14} {case['clients']:8,} {case['cohort']:6} "
                f"{case.get('parameters', ''):>11} {case.get('groups', ''):>6} {row['start_s']:8.2f} "
                f"{row['seconds']:9.4f} {row['evaluated_round_s']:9.3f} {row['peak_pss_MiB']:6.0f}",
                flush=True,
            )
    slopes = {}
    for method in given.methods:
        for cohort in (10, 100):
            found = [r for r in rows if (r["method"], r["name"], r["cohort"]) == (method, "w1", cohort)]
            found = [r for r in found if "seconds" in r]
            if len(found) > 1:
                slopes[f"{method}, cohort {cohort}"] = slope(found)
    for name, value in slopes.items():
        print(f"s/round grows as clients^{value:+.3f} ({name})")
    asked.write(given, {"rows": rows, "slopes": slopes})


if __name__ == "__main__":
    main()
