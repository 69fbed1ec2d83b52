"""The core's arithmetic: python benchmarks/floor.py [--quick] [--json PATH].

Multiplying two n × n float32 matrices on one thread, 2·n³ operations, CPU seconds; the best of it is the peak that
the shares in other tables refer to. Then what each workload needs: operations of one sample's forward and backward
pass, counted by torch (convolutions and products; pooling, normalisation and ReLU are left out).
"""

from __future__ import annotations

import time
from statistics import median

import asked
import timing
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from work import ALL, Work

SIZES = (256, 512, 1024)


def sgemm(quick: bool = False) -> dict[str, dict[str, float]]:
    """n → best and median GFLOP/s."""
    out = {}
    for n in SIZES:
        a, b, c = (torch.randn(n, n) for _ in range(3))
        often = max(1, 2 * 1024**3 // n**3 // (4 if quick else 1))
        found = []
        torch.mm(a, b, out=c)
        for _ in range(5 if quick else 15):
            began = time.process_time()
            for _ in range(often):
                torch.mm(a, b, out=c)
            found.append(2e-9 * n**3 * often / (time.process_time() - began))
        out[str(n)] = {"best": max(found), "median": median(found)}
    return out


def peak(found: dict[str, dict[str, float]]) -> float:
    """GFLOP/s: the highest median of the sizes."""
    return max(row["median"] for row in found.values())


def operations(work: Work) -> float:
    """Of one sample's forward and backward pass."""
    module, inputs = work.module().train(), torch.zeros(2, *work.shape)
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(module(inputs), torch.zeros(2, dtype=torch.int64)).backward()
    return counter.get_total_flops() / 2


def main() -> None:
    given = asked.parse(__doc__)
    timing.one_thread()
    found = {"sgemm": sgemm(given.quick), "operations": {name: operations(work) for name, work in ALL.items()}}
    found["peak"] = peak(found["sgemm"])
    print(f"{'sgemm n':>8} {'median':>7} {'best':>7}  GFLOP/s of one core")
    for n, row in found["sgemm"].items():
        print(f"{n:>8} {row['median']:7.1f} {row['best']:7.1f}")
    for name, work in ALL.items():
        need = found["operations"][name]
        print(
            f"{name:6} {need / 1e6:7.3f} MFLOP a sample, at the peak {work.passes * need / found['peak'] / 1e9:.3f} s"
        )
    asked.write(given, found)


if __name__ == "__main__":
    main()
