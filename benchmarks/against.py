"""Other frameworks on the same work: python benchmarks/against.py [--quick] [--json PATH] [--envs FOLDER].

FedAvg over all clients of W1 (batch 18) and W2, no evaluation; peers in their own environments (made here where they
are missing), disue by `disue.run`, each as a process of its own. Wall seconds from the process's start to the end of
round one, the median of the later rounds, the CPU seconds of such a round where all is one process, and the highest
proportional set size of all processes together. Medians of five turns, the order turned round in every second one.
The native backend is compiled before the clock starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import asked
import envs
import watch
from federation import refusal
from work import ALL

HERE = Path(__file__).parent
WORD = "@round"
LIMIT = 400.0  # seconds of one program


@dataclass(frozen=True)
class Case:
    """One program: who, in which setting, and its command line after the workload and the number of rounds."""

    name: str
    setting: str
    python: str
    program: str
    more: tuple[str, ...] = ()
    left_out: str = ""


def ours(name: str) -> list[Case]:
    """Our own runs of a workload."""
    backends = ("stacked", "native") if name.startswith("w1") else ("stacked", "lean", "native")
    program = str(HERE / "ours.py")
    return [
        Case("disue", f"{b}, {w} worker{'s' * (w > 1)}", sys.executable, program, (b, str(w)), refusal(ALL[name], b))
        for b in backends
        for w in (2, 1)
    ]


def theirs(folder: Path) -> list[Case]:
    """The peers, installed; or the reason why not."""
    out = []
    for peer in envs.PEERS:
        print(f"environment of {peer.about} …", flush=True)
        why = envs.install(peer, folder)
        settings = {"one process, one thread": ()}
        if peer.name == "flower":
            settings = {"two actors (1 CPU a client)": ("1",), "default (2 CPUs a client)": ("2",)}
        python, program = str(envs.python_of(peer, folder)), str(HERE / "peers" / peer.program)
        out += [Case(peer.about, name, python, program, more, why) for name, more in settings.items()]
    return out


def run(case: Case, name: str, rounds: int) -> dict[str, Any]:
    """One program to its end: its rounds on our clock, and its memory."""
    value = uuid.uuid4().hex
    paths = os.pathsep.join([str(HERE.parent / "src"), str(HERE)])
    quiet = {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    began = time.monotonic()
    with watch.Watch(value) as seen:
        try:
            done = subprocess.run(
                [case.python, case.program, name, str(rounds), *case.more],
                env={**os.environ, **quiet, "PYTHONPATH": paths, watch.MARK: value},
                capture_output=True,
                text=True,
                timeout=LIMIT,
            )
        except subprocess.TimeoutExpired:
            return {"left_out": f"not over after {LIMIT:.0f} s"}
    said = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith(WORD)]
    if done.returncode or len(said) != rounds:
        why = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        return {"left_out": f"{len(said)} of {rounds} rounds: {why}"}
    wall, cpu = ([float(line[at]) for line in said] for at in (0, 1))
    return {
        "first": wall[0] - began,
        "steady": median(b - a for a, b in pairwise(wall)),
        "cpu": median(b - a for a, b in pairwise(cpu)),
        "pss_MiB": seen.peak / 2**20,
        "processes": seen.processes,
    }


def middle(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure over the turns; the reason where one was left out."""
    out = next((turn for turn in turns if "left_out" in turn), None)
    return out or {key: median(turn[key] for turn in turns) for key in turns[0]}


def main() -> None:
    ask = asked.parser(__doc__)
    ask.add_argument("--envs", type=Path, default=HERE.parent / "out" / "bench" / "envs", help="the peers' folders")
    ask.add_argument("--only", nargs="*", help="these names only: disue, Flower, pfl-research, fluke, CFLA")
    ask.add_argument("--works", nargs="*", default=["w1b18", "w2"])
    given = ask.parse_args()
    folder = given.envs.resolve()
    peers = theirs(folder)
    rows: list[dict[str, Any]] = []
    head = f"{'':6} {'':13} {'':26} {'first s':>8} {'steady s':>9} {'CPU s':>7} {'PSS MiB':>8} {'processes':>9}"
    print(head)
    for name in given.works:
        cases = [case for case in (*ours(name), *peers) if not given.only or case.name in given.only]
        turns: dict[Case, list[dict[str, Any]]] = {case: [] for case in cases}
        for turn in range(1 if given.quick else 5):
            for case in cases[:: -1 if turn % 2 else 1]:
                rounds = 3 if given.quick else 5
                turns[case].append({"left_out": case.left_out} if case.left_out else run(case, name, rounds))
                print(f"  {name} {case.name}, {case.setting}: {turns[case][-1]}", file=sys.stderr, flush=True)
        for case in cases:
            row = {"work": name, "name": case.name, "setting": case.setting, **middle(turns[case])}
            rows.append(row)
            if "left_out" in row:
                print(f"{name:6} {case.name:13} {case.setting:26} left out: {row['left_out']}")
            else:
                print(
                    f"{name:6} {case.name:13} {case.setting:26} {row['first']:8.2f} {row['steady']:9.3f} "
                    f"{row['cpu']:7.3f} {row['pss_MiB']:8.0f} {row['processes']:9}"
                )
    found = {p.about: envs.versions(p, folder) for p in envs.PEERS}
    for about, row in found.items():
        print(f"{about}: {', '.join(f'{name} {version}' for name, version in row.items())}")
    asked.write(given, {"rows": rows, "versions": found})


if __name__ == "__main__":
    main()
