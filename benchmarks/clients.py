"""Client training on one core: python benchmarks/clients.py [--quick] [--json PATH] [--blocks 10 25 100] [--only w2].

Each workload by the naive loop, the centralised loop (plain; lean in torch's usual layout; lean with the channels
innermost) and every backend of disue, interleaved in one process. CPU seconds of one thread. W1 at batch 18 is a whole
round with its average; the others are a part of one (see work.py), the same part for everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import asked
import central
import floor
import plain
import timing
from federation import Ours, refusal
from work import CHUNKS, QUICK, Work

BACKENDS = ("loop", "lean", "lean-plain", "stacked", "native")


def variants(work: Work, blocks: list[int]) -> tuple[dict[str, Callable[[], object]], dict[str, str]]:
    """name → one call of it, and name → why it is left out."""
    calls: dict[str, Callable[[], object]] = {
        "naive": plain.Naive(work).round,
        "central plain": central.Plain(work).round,
        "central lean": central.Lean(work, channels_last=False).round,
        "central last": central.Lean(work, channels_last=True).round,
    }
    left_out = {}
    for name in BACKENDS:
        why = refusal(work, name)
        if why:
            left_out[name] = why
        else:
            calls[name] = Ours(work, name, min(50, work.clients) if name == "stacked" else 0).round
    for block in blocks:
        if block <= work.clients:
            calls[f"stacked {block}"] = Ours(work, "stacked", block).round
    return calls, left_out


def measured(work: Work, repeats: int, blocks: list[int]) -> dict[str, Any]:
    """Seconds of every variant and turn."""
    calls, left_out = variants(work, blocks)
    return {
        "work": str(work),
        "passes": work.passes,
        "operations": floor.operations(work),
        "seconds": timing.interleaved(calls, repeats),
        "left_out": left_out,
    }


def show(name: str, row: dict[str, Any], peak: float) -> None:
    """A table of one workload."""
    seconds = row["seconds"]
    print(f"\n{name}: {row['work']}")
    print(f"{'':14} {'ms':>8} {'samples/s':>10} {'of sgemm':>8}  {'× naive':22} {'× central, same layout':22}")
    for variant, found in seconds.items():
        rate = row["passes"] / median(found)
        against = timing.shown(timing.ratio(seconds["naive"], found))
        beside = timing.shown(timing.ratio(seconds["central last"], found))
        share = rate * row["operations"] / 1e9 / peak
        print(f"{variant:14} {1000 * median(found):8.1f} {rate:10,.0f} {share:8.1%}  {against:22} {beside:22}")
    for variant, why in row["left_out"].items():
        print(f"{variant:14} left out: {why}")


def main() -> None:
    ask = asked.parser(__doc__)
    ask.add_argument("--blocks", type=int, nargs="*", default=[], help="further numbers of clients stacked at once")
    ask.add_argument("--only", nargs="*", help="these workloads only")
    ask.add_argument("--repeats", type=int, default=0, help="turns; 0: 11, with --quick 5")
    given = ask.parse_args()
    timing.one_thread()
    gemm = floor.sgemm(given.quick)
    found: dict[str, Any] = {"sgemm": gemm, "peak": floor.peak(gemm), "works": {}}
    print(f"sgemm peak of this core: {found['peak']:.1f} GFLOP/s")
    for name, work in (QUICK if given.quick else CHUNKS).items():
        if given.only and name not in given.only:
            continue
        row = measured(work, given.repeats or (5 if given.quick else 11), given.blocks)
        found["works"][name] = row
        show(name, row, found["peak"])
    asked.write(given, found)


if __name__ == "__main__":
    main()
