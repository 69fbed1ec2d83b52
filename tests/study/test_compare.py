"""A small study from tuning to table; workers that die, a study that is killed, Ctrl-C and SIGTERM."""

from __future__ import annotations

import csv
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import disue
from disue.core.errors import UserError
from disue.study.compare import compare
from disue.study.leases import FOLDER, Holder
from disue.study.plan import Study
from disue.study.progress import Outlook, Progress, Said
from disue.study.tune import tune

STUDY = """
rounds = 4
data.name = "digits"
partition = { clients = 10, alpha = 0.5 }
cohort.share = 0.5
local = { epochs = 1, batch = 20, clip = 10.0 }
evaluate.every = 2
[study]
seeds = [0, 1]
[study.tune]
grid."local.lr" = [0.001, 0.1]
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
PLAIN = STUDY.split('[[study.method]]\nlabel = "ours, one')[0].replace('grid."local.lr" = [0.001, 0.1]\n', "")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def figures(out: Path) -> dict[tuple[str, str, str], str]:
    """(method, seed, metric) → every bit of it; what took time is left out."""
    found = rows(out / "results.csv")
    return {(r["method"], r["seed"], r["metric"]): r["last10"] for r in found if "seconds" not in r["metric"]}


def test_a_study_survives_a_dead_worker_and_says_what_its_runs_say(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        if progress.finished is not None and not killed:
            worker = multiprocessing.active_children()[0].pid
            assert worker is not None
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)

    page = compare(tmp_path / "study.toml", tmp_path / "out", jobs=2, on_progress=kill)
    assert killed
    text = page.read_text()
    cells = {
        (row["method"], int(row["seed"])): float(row["last10"])
        for row in rows(tmp_path / "out" / "results.csv")
        if row["metric"] == "served_global"
    }
    assert set(cells) == {(m, s) for m in ("FedAvg", "ours", "ours, one group") for s in (0, 1)}
    tuning = rows(tmp_path / "out" / "tuning.csv")
    assert len(tuning) == 4  # two rows of their own, two rates each
    for row in ("FedAvg", "ours"):
        best = max((t for t in tuning if t["method"] == row), key=lambda t: float(t["served_global"]))
        assert f"{row}: local.lr = {best['local.lr']}" in text
    differences = [cells["ours", s] - cells["FedAvg", s] for s in (0, 1)]
    low, high = sorted(differences)
    assert f"| ours − FedAvg | 2 | {sum(differences) / 2:+.1f} [{low:+.1f}, {high:+.1f}] |" in text
    assert "All rows of a seed share partition, initial weights and cohorts (checked by hash)." in text
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("summary.json")}
    assert len(before) == 10
    compare(tmp_path / "study.toml", tmp_path / "out", jobs=1)  # nothing is run again
    assert {path: path.stat().st_mtime_ns for path in before} == before

    # the choices go into a copy of the file; a comparison of that copy tunes nothing and says the same
    tuned = tune(tmp_path / "study.toml", tmp_path / "out")
    assert tuned == tmp_path / "study.tuned.toml" and tuned.read_text().startswith(STUDY)
    assert Study.read(tuned).tuning() == []
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert compare(tuned, tmp_path / "out", jobs=1).read_text() == text


def leases(out: Path) -> list[Holder]:
    return [Holder.read(path.read_text(), 1.0) for path in sorted((out / FOLDER).iterdir())]


def started(study: Path, out: Path, jobs: int) -> subprocess.Popen[str]:
    """`disue compare` in a process of its own."""
    words = [sys.executable, "-m", "disue", "compare", str(study), "--out", str(out), "--jobs", str(jobs)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(found: Any, seconds: float = 60.0) -> None:
    began = time.monotonic()
    while not found():
        assert time.monotonic() - began < seconds, "nothing happened"
        time.sleep(0.05)


def test_a_study_that_is_killed_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    """SIGKILL of the main process once a run is complete and another has begun. Its workers end with it."""
    study, out = tmp_path / "study.toml", tmp_path / "out"
    study.write_text(PLAIN.replace("rounds = 4", "rounds = 16\ncheckpoint.every = 2").replace("[0, 1]", "[0]"))
    process = started(study, out, 1)
    until(lambda: list(out.rglob("summary.json")) and len(list(out.rglob("rounds.csv"))) > 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    complete = {path: path.stat().st_mtime_ns for path in out.rglob("summary.json")}
    assert len(complete) == 1 and not (out / "table.md").exists()
    compare(study, out, jobs=1)
    assert {path: path.stat().st_mtime_ns for path in complete} == complete  # what was done is not done again
    found = figures(out)
    for job in Study.read(study).finals({}):
        for name, value in disue.run(job.spec)["metrics"].items():  # undisturbed
            assert found[job.method, str(job.seed), name] == repr(float(value["last10"])), name
    assert {method for method, _, _ in found} == {"FedAvg", "ours"}


@pytest.mark.parametrize(("number", "name", "code"), [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143)])
def test_a_signal_finishes_the_rounds_in_hand_and_the_command_goes_on(
    number: int, name: str, code: int, tmp_path: Path
) -> None:
    study, out = tmp_path / "study.toml", tmp_path / "out"
    study.write_text(PLAIN.replace("rounds = 4", "rounds = 40"))
    process = started(study, out, 2)
    until(lambda: list(out.rglob("rounds.csv")))
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"stopped by {name} with " in said and "of 4 runs complete; the same command goes on" in said
    assert "Traceback" not in said
    assert {lease.state for lease in leases(out)} <= {"left", "done"}  # nobody waits for what was in hand
    assert (out / "table.md").exists()  # of what is complete
    for folder in (path.parent for path in out.rglob("rounds.csv")):
        assert (folder / "summary.json").exists() and list((folder / "checkpoint").iterdir()), folder


def test_a_folder_of_another_study_is_refused(tmp_path: Path) -> None:
    study, out = tmp_path / "study.toml", tmp_path / "out"
    one = (
        PLAIN.split('[[study.method]]\nlabel = "ours"')[0].replace("[0, 1]", "[0]").replace("rounds = 4", "rounds = 1")
    )
    study.write_text(one)
    compare(study, out, jobs=1)
    study.write_text(one.replace("epochs = 1", "epochs = 2"))
    with pytest.raises(UserError, match=r"local\.epochs = 1, the study asks for 2"):
        compare(study, out, jobs=1)
    study.write_text("checkpoint.every = 3\nengine.memory = 7\n" + one)  # no result depends on these
    compare(study, out, jobs=1)


def test_the_time_left_is_counted_in_rounds(tmp_path: Path) -> None:
    """Three rows, two seeds, four rounds each; one of the six runs is there already."""
    (tmp_path / "study.toml").write_text(STUDY)
    jobs = Study.read(tmp_path / "study.toml").finals({})
    outlook = Outlook(jobs, jobs[1:], [], 2)
    assert outlook.now().left is None and (outlook.now().done, outlook.now().total) == (1, 6)
    fedavg = next(job for job in jobs[1:] if job.method == "FedAvg")
    outlook.heard(Said(str(fedavg), 1, 4, 50.0, 2.0))
    # 3 rounds of this run and 4 of each of four others, at 2 s, by two at a time
    assert outlook.now().left == pytest.approx((3 + 16) * 2 / 2)
    ours = next(job for job in jobs[1:] if job.method == "ours")
    outlook.heard(Said(str(ours), 1, 4, 50.0, 6.0))
    # a row of which nothing is known takes what rounds take on average: 4 s
    others = [job for job in jobs[1:] if job not in (fedavg, ours)]
    cost = {"FedAvg": 2.0, "ours": 6.0, "ours, one group": 4.0}
    rest = sum(4 * cost[job.method] for job in others)
    assert outlook.now().left == pytest.approx((3 * 2 + 3 * 6 + rest) / 2)
    # a row in another process's hands: a third runs at the same time, and its rounds are known from its lease
    (theirs,) = [job for job in others if job.method == "ours, one group" and job.seed == 0]
    outlook.elsewhere([(theirs, Holder("node-17", round=3, seconds=1.0))])
    cost["ours, one group"] = 1.0
    rest = sum(4 * cost[job.method] for job in others) - 3 * cost[theirs.method]
    assert outlook.now().left == pytest.approx((3 * 2 + 3 * 6 + rest) / 3)
    assert outlook.now().others == {"node-17": 1}
    outlook.elsewhere([(theirs, Holder("node-17", round=3, seconds=1.0))])  # nothing new
    assert outlook.now().left == pytest.approx((3 * 2 + 3 * 6 + rest) / 3)
    outlook.elsewhere([])
    outlook.finished(ours)
    found = outlook.now(ours)
    assert (found.done, found.finished) == (2, ours) and [job for job, _ in found.going] == [fedavg]
    assert found.left == pytest.approx((3 * 2 + rest) / 2)
