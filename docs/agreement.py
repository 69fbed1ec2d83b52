"""Groups found from sketches beside those found in the clear, from the same updates, where groups are planted.

    python docs/agreement.py TABLE.md [--seeds 3] [--k 256,1024] [--privacy sketch]

For each scenario, seed and round, one federation trains in one group until that round, and is then grouped twice:
from true cosines and from a protected round's. "Rule" is the k that `disue.secure.wire.estimate.k_for` asks for at
the cosines measured in the clear within and between the groups that were found there.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from disue.core.errors import UserError
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import prepare
from disue.runs.spec import Spec
from disue.secure.wire.estimate import k_for

SCENARIOS = ("rotated", "permuted-labels", "disjoint-labels", "cluster-dirichlet")
ROUNDS = (1, 10)
GROUPS = 4


def spec(scenario: str, seed: int, after: int, **privacy: Any) -> Spec:
    return Spec.of(
        {
            "seed": seed,
            "rounds": after + 1,
            "data": {"name": "digits"},
            "partition": {"kind": scenario, "clients": 20, "groups": GROUPS},
            "cohort": {"share": 1.0},
            "local": {"epochs": 5, "batch": 10, "lr": 0.1},
            "method": {"name": "clustered", "k": GROUPS, "grouping": {"after": after, "epochs": 0, "part": "whole"}},
            "evaluate": {"every": 100},
            "engine": {"backend": "stacked"},
            **({"privacy": privacy} if privacy else {}),
        }
    )


def played(given: Spec) -> SimulatedRun:
    run = SimulatedRun(prepare(given), None)
    for _ in run:
        pass
    run.close()
    return run


def plain(given: Spec) -> Spec:
    return Spec.of({name: table for name, table in tomllib.loads(given.toml()).items() if name != "privacy"})


def cases(seeds: int, ks: tuple[int, ...], mode: str) -> Iterator[dict[str, Any]]:
    for scenario in SCENARIOS:
        for after in ROUNDS:
            for seed in range(seeds):
                clear: SimulatedRun | None = None
                for k in ks:
                    asked = spec(scenario, seed, after, similarity=mode, k=k)
                    clear = played(plain(asked)) if clear is None else clear
                    hidden = played(asked)
                    ids = hidden.setup.ids
                    truth = [hidden.setup.world.truth[int(i)] for i in ids]  # type: ignore[index]
                    found = [run.setup.method.standing(run.state).at(ids) for run in (clear, hidden)]
                    row = next(r for r in reversed(clear.rows) if "cosine_gap" in r)
                    try:
                        rule = k_for(row["cosine_within"], row["cosine_between"], ids.size, GROUPS)
                    except UserError:
                        rule = None
                    yield {
                        "scenario": scenario, "after": after, "seed": seed, "k": k, "gap": row["cosine_gap"],
                        "rule": rule,
                        "alike": adjusted_rand_score(*found),
                        "clear": adjusted_rand_score(truth, found[0]), "sketch": adjusted_rand_score(truth, found[1]),
                    }  # fmt: skip


def interval(values: list[float]) -> str:
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.2f}"
    return f"{mean:.2f} ± {stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--k", default="256,1024")
    parser.add_argument("--privacy", default="sketch")
    given = parser.parse_args()
    ks = tuple(int(k) for k in given.k.split(","))
    rows = []
    for row in cases(given.seeds, ks, given.privacy):
        rows.append(row)
        print(row, flush=True)
    lines = [
        "# Groups from sketches beside groups in the clear",
        "",
        f"Made by `python docs/agreement.py {given.table} --seeds {given.seeds} --k {given.k} "
        f"--privacy {given.privacy}`:",
        "digits, 20 clients in 4 planted groups, 5 local epochs, average linkage; ARI, mean over seeds with the 95 %",
        "interval. The rule holds where k is at least what it asks for at the gap measured in the clear.",
        "",
        "| scenario | after round | k | gap | rule's k | rule holds | sketch = clear | where it holds | clear to truth "
        "| sketch to truth |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for scenario in SCENARIOS:
        for after in ROUNDS:
            for k in ks:
                of = [r for r in rows if (r["scenario"], r["after"], r["k"]) == (scenario, after, k)]
                holds = [r for r in of if r["rule"] is not None and r["rule"] <= k]
                asked = [r["rule"] for r in of if r["rule"] is not None]
                cells = [
                    scenario, str(after), str(k), f"{np.mean([r['gap'] for r in of]):.2f}",
                    f"{np.median(asked):.0f}" if asked else "–", f"{len(holds)} of {len(of)}",
                    interval([r["alike"] for r in of]), f"{min(r['alike'] for r in holds):.2f}" if holds else "–",
                    interval([r["clear"] for r in of]), interval([r["sketch"] for r in of]),
                ]  # fmt: skip
                lines.append("| " + " | ".join(cells) + " |")
    held = [r["alike"] for r in rows if r["rule"] is not None and r["rule"] <= r["k"]]
    lines += ["", f"Where the rule holds ({len(held)} of {len(rows)} cases) the least ARI of sketch to clear is "
              f"{min(held, default=float('nan')):.3f}, the mean {np.mean(held):.3f}."]  # fmt: skip
    given.table.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
