"""A small study from tuning to table, with a worker that dies on the way."""

from __future__ import annotations

import csv
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import scipy.stats

from disue.study.compare import compare
from disue.study.statistics import mean, paired

STUDY = """
rounds = 4
data.name = "digits"
partition = { clients = 10, alpha = 0.5 }
cohort.share = 0.5
local = { epochs = 1, batch = 20, clip = 10.0 }
evaluate.every = 2
[study]
seeds = [0, 1]
[study.grid]
"local.lr" = [0.001, 0.1]
[[study.method]]
label = "FedAvg"
name = "fedavg"
[[study.method]]
label = "ours"
name = "disue"
k = 2
against = ["FedAvg"]
[[study.method]]
label = "ours, one group"
name = "disue-one"
tuned_as = "ours"
"""


def test_a_study_survives_a_dead_worker_and_says_what_its_runs_say(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    killed: list[int] = []

    def kill(done: int, total: int, job: Any, left: float) -> None:
        if not killed:
            worker = multiprocessing.active_children()[0].pid
            assert worker is not None
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)

    page = compare(tmp_path / "study.toml", tmp_path / "out", workers=2, progress=kill)
    assert killed
    text = page.read_text()
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    cells = {
        (row["method"], int(row["seed"])): float(row["last10"]) for row in rows if row["metric"] == "served_global"
    }
    assert set(cells) == {(m, s) for m in ("FedAvg", "ours", "ours, one group") for s in (0, 1)}
    with (tmp_path / "out" / "tuning.csv").open(newline="") as file:
        tuning = list(csv.DictReader(file))
    assert len(tuning) == 4  # two rows of their own, two rates each
    for row in ("FedAvg", "ours"):
        best = max((t for t in tuning if t["method"] == row), key=lambda t: float(t["served_global"]))
        assert f"{row}: local.lr = {best['local.lr']}" in text
    differences = [cells["ours", s] - cells["FedAvg", s] for s in (0, 1)]
    low, high = sorted(differences)
    assert f"| ours − FedAvg | 2 | {sum(differences) / 2:+.1f} [{low:+.1f}, {high:+.1f}] |" in text
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("summary.json")}
    assert len(before) == 10
    compare(tmp_path / "study.toml", tmp_path / "out", workers=1)  # nothing is run again
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_intervals_are_those_of_student() -> None:
    values = [43.0, 42.4, 45.1, 41.7, 44.2]
    found = mean(values)
    low, high = scipy.stats.t.interval(0.95, 4, loc=found.mean, scale=scipy.stats.sem(values))
    assert found.mean - found.half == pytest.approx(low)
    assert found.mean + found.half == pytest.approx(high)
    assert found.apart
    only = paired({0: 5.0, 2: 7.0, 9: 1.0}, {2: 6.5, 0: 4.0, 5: 0.0})
    assert only is not None and only.n == 2 and only.mean == pytest.approx(0.75)
    assert paired({0: 1.0}, {1: 1.0}) is None
