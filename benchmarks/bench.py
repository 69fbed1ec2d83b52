"""All benchmarks, one after the other, and the page with their figures: python benchmarks/bench.py [--quick] [--again].

Each part is a process of its own and leaves a JSON file in out/bench (out/bench-quick with --quick). A part whose file
is there is not run again, so a run that was broken off goes on where it stopped; --again runs all, --only some of them.
At the end the page docs/performance.md is written, or with --quick a page in out/bench-quick, docs untouched.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent


@dataclass(frozen=True)
class Part:
    """A program of this folder and its minutes on two quiet cores."""

    name: str
    minutes: float
    quick: bool = True  # whether the short form has it
    out: str = "--json"  # the word before the file's name; "" for none

    def command(self, path: Path, quick: bool) -> list[str]:
        words = [*(["--quick"] if quick else []), *([self.out] if self.out else []), str(path)]
        return [sys.executable, str(HERE / f"{self.name}.py"), *words]


PARTS = (
    Part("floor", 0.2),
    Part("overhead", 0.2),
    Part("clients", 8.0),
    Part("pool", 3.0),
    Part("evaluation", 2.0),
    Part("dphase", 0.8, quick=False),
    Part("similarity", 1.5, quick=False),
    Part("store", 0.3),
    Part("growth", 6.0),
    Part("scaffold10k", 1.5, quick=False, out=""),
    Part("against", 25.0, quick=False),
)


def machine() -> dict[str, str]:
    """What the figures are of."""
    from importlib.metadata import version

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    wide = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    out = {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "vectors": ", ".join(wide) or "unknown",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }
    return out | {name: version(name) for name in ("torch", "numpy", "scipy")}


def run(part: Part, folder: Path, quick: bool, more: list[str]) -> str:
    """Runs a part, its output shown and kept; why it failed, or ""."""
    path, log = folder / f"{part.name}.json", folder / f"{part.name}.txt"
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
    last = ""
    with log.open("w") as kept:
        made = subprocess.Popen(
            [*part.command(path, quick), *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        try:
            for line in made.stdout or ():
                sys.stdout.write(line)
                kept.write(line)
                last = line.strip() or last
        except KeyboardInterrupt:
            made.terminate()
            made.wait()
            raise
    return "" if made.wait() == 0 else last or f"ended with {made.returncode}"


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--quick", action="store_true", help="under three minutes, without peers; no figures to quote")
    ask.add_argument("--again", action="store_true", help="run parts whose figures are there as well")
    ask.add_argument("--only", nargs="*", metavar="PART", help=", ".join(part.name for part in PARTS))
    ask.add_argument("--envs", type=Path, help="the peers' environments; else out/bench/envs")
    ask.add_argument("--out", type=Path, help="where the figures lie; else out/bench or out/bench-quick")
    given = ask.parse_args()
    folder: Path = given.out or ROOT / "out" / ("bench-quick" if given.quick else "bench")
    folder.mkdir(parents=True, exist_ok=True)
    about = {**machine(), "date": datetime.now(UTC).strftime("%Y-%m-%d"), "load": f"{os.getloadavg()[0]:.1f}"}
    asked = [part for part in PARTS if (not given.quick or part.quick) and (not given.only or part.name in given.only)]
    todo = [part for part in asked if given.again or not (folder / f"{part.name}.json").exists()]
    if todo:
        (folder / "machine.json").write_text(json.dumps(about, indent=1) + "\n")
    began = time.monotonic()
    for at, part in enumerate(todo):
        left = sum(one.minutes for one in todo[at:])
        expected = "" if given.quick else f", about {left:.0f} minutes left"
        print(f"\n== {part.name} ({at + 1} of {len(todo)}{expected})", flush=True)
        more = ["--envs", str(given.envs)] if part.name == "against" and given.envs else []
        why = run(part, folder, given.quick, more)
        if why:
            print(f"{part.name} failed: {why}", file=sys.stderr)
    if todo:
        print(f"\n{(time.monotonic() - began) / 60:.1f} minutes")
    page = [sys.executable, str(HERE / "page.py"), str(folder)]
    return subprocess.run([*page, *(["--to", str(folder / "performance.md")] if given.quick else [])]).returncode


if __name__ == "__main__":
    raise SystemExit(main())
