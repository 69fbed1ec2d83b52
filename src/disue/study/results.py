"""What a study's complete runs say, in one table, and the conditions under which they said it.

results.csv  setting, method, seed, metric, final, last10: tidy, a figure a row; totals as `totals.NAME`
means.csv    setting, method, metric, n, mean, half, low, high: over seeds, of the last ten rounds
data.json    data, partition and conditions by setting and seed
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disue.runs.folder import table, write_text
from disue.study.place import done
from disue.study.plan import Chosen, Job, Study
from disue.study.statistics import mean

Values = Mapping[tuple[str, str, str], Mapping[int, float]]  # (setting, row, metric) → seed → figure
TOTALS = "totals."
SAME = {"partition": "partition", "start": "initial weights", "cohorts": "cohorts"}


@dataclass(frozen=True)
class Run:
    """A complete final run and its summary."""

    job: Job
    summary: Mapping[str, Any]

    @property
    def conditions(self) -> dict[str, str]:
        """Hashes of what all rows of a seed should share; runs of older versions tell less."""
        return {"partition": self.summary["partition"]["hash"], **self.summary.get("conditions", {})}


@dataclass(frozen=True)
class Results:
    """All complete final runs of a study."""

    plan: Study
    chosen: Chosen
    runs: tuple[Run, ...]

    def of(self, setting: str) -> list[Run]:
        return [run for run in self.runs if run.job.setting == setting]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of results.csv."""
        out: list[dict[str, Any]] = []
        for run in self.runs:
            about = {"setting": run.job.setting, "method": run.job.method, "seed": run.job.seed}
            for name, value in run.summary["metrics"].items():
                out.append({**about, "metric": name, "final": value["final"], "last10": value["last10"]})
            for name, value in run.summary["totals"].items():
                if value is not None:
                    out.append({**about, "metric": TOTALS + name, "final": value, "last10": value})
        return out

    def values(self) -> Values:
        """Means of the last ten rounds, by cell and seed."""
        return by_cell(self.rows())

    def partitions(self, setting: str) -> dict[int, str]:
        """Seed → hash of the partition; where rows differ, that of the first."""
        out: dict[int, str] = {}
        for run in self.of(setting):
            out.setdefault(run.job.seed, run.conditions["partition"])
        return dict(sorted(out.items()))

    def shared(self, setting: str) -> str:
        """Whether the rows of a seed share what they should, in one sentence; checked by hash."""
        checked = set(SAME)
        odd: dict[tuple[str, str, str], list[int]] = {}
        seeds: dict[int, list[Run]] = {}
        for run in self.of(setting):
            seeds.setdefault(run.job.seed, []).append(run)
        for seed, runs in sorted(seeds.items()):
            checked &= {name for name in SAME if all(name in run.conditions for run in runs)}
            first = runs[0]
            for run in runs[1:]:
                apart = [SAME[k] for k in SAME if k in checked and run.conditions[k] != first.conditions[k]]
                if apart:
                    odd.setdefault((run.job.method, " and ".join(apart), first.job.method), []).append(seed)
        if odd:
            told = [
                f"{row}, seed{'s' if len(of) > 1 else ''} {', '.join(map(str, of))}: other {what} than {first}"
                for (row, what, first), of in odd.items()
            ]
            return f"NOT the same conditions: {'; '.join(told)}."
        names = [SAME[name] for name in SAME if name in checked]
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""
        return f"All rows of a seed share {listed} (checked by hash)." if listed and len(self.of(setting)) > 1 else ""


def by_cell(rows: Sequence[Mapping[str, Any]]) -> Values:
    """(setting, method, metric) → seed → mean of the last ten rounds, from rows of results.csv."""
    out: dict[tuple[str, str, str], dict[int, float]] = {}
    for row in rows:
        key = (str(row["setting"]), str(row["method"]), str(row["metric"]))
        out.setdefault(key, {})[int(row["seed"])] = float(row["last10"])
    return out


def collect(plan: Study, out: Path, chosen: Chosen) -> Results:
    """Whatever is complete in a study's folder, written to results.csv, means.csv and data.json."""
    found = ((job, done(job, out)) for job in plan.finals(chosen))
    results = Results(plan, chosen, tuple(Run(job, summary) for job, summary in found if summary is not None))
    rows = results.rows()
    write_text(out / "results.csv", table(rows, ("setting", "method", "seed", "metric", "final", "last10")))
    write_text(out / "means.csv", table(means(by_cell(rows)), MEANS))
    data: dict[str, dict[str, Any]] = {}
    for run in results.runs:
        setting = data.setdefault(run.job.setting, {"data": run.summary["data"], "partition": {}, "conditions": {}})
        setting["partition"][str(run.job.seed)] = run.conditions["partition"]
        setting["conditions"].setdefault(str(run.job.seed), {})[run.job.method] = run.conditions
    write_text(out / "data.json", json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    return results


MEANS = ("setting", "method", "metric", "n", "mean", "half", "low", "high")


def means(values: Values) -> list[dict[str, Any]]:
    """The rows of means.csv; `half` is absent for one seed."""
    out = []
    for (setting, method, metric), cell in values.items():
        m = mean(list(cell.values()))
        row = {"setting": setting, "method": method, "metric": metric, "n": m.n, "mean": m.mean}
        out.append(row | ({"half": m.half} if m.n > 1 else {}) | {"low": m.low, "high": m.high})
    return out
