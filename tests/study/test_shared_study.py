"""Several processes on one study: one is killed, one is stopped for longer than its lease."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from disue.runs.folder import read_json, read_table
from disue.study.compare import compare
from disue.study.leases import DONE, FOLDER, HELD, LATE, LOST, Holder
from disue.study.plan import Study
from disue.study.tune import choose
from disue.study.watch import name_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="process groups and /proc")
ROUNDS = 12
STUDY = f"""
rounds = {ROUNDS}
checkpoint.every = 3
data.name = "digits"
partition = {{ clients = 10, alpha = 0.5 }}
cohort.share = 0.5
local = {{ epochs = 2, batch = 10, clip = 10.0 }}
[study]
seeds = [0]
[study.tune]
share = 1.0
grid."local.lr" = [0.001, 0.1]
[[study.method]]
label = "FedAvg"
name = "fedavg"
[[study.method]]
label = "FedProx"
name = "fedprox"
"""
PLAIN = STUDY.replace('grid."local.lr" = [0.001, 0.1]\n', "").replace(f"rounds = {ROUNDS}", f"rounds = {2 * ROUNDS}")


def started(study: Path, out: Path, lease: float) -> subprocess.Popen[str]:
    """`disue compare` in a process group of its own, one run at a time."""
    words = [sys.executable, "-m", "disue", "compare", str(study), "--out", str(out), "-j", "1", "--lease", str(lease)]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def until(found: Callable[[], Any], seconds: float = 60.0) -> Any:
    began = time.monotonic()
    while not (value := found()):
        assert time.monotonic() - began < seconds, "nothing happened"
        time.sleep(0.01)
    return value


def leases(out: Path) -> dict[str, Holder]:
    """RUN.n → what it says."""
    found = sorted((out / FOLDER).iterdir()) if (out / FOLDER).exists() else []
    return {path.name: Holder.read(path.read_text(), 1.0) for path in found}


def in_hand(process: subprocess.Popen[str], out: Path) -> str:
    """The run that a process of this one's group has; "" where there is none."""
    for name, holder in leases(out).items():
        if holder.state == HELD and holder.pid and not holder.gone and os.getpgid(holder.pid) == process.pid:
            return name
    return ""


def folders(plan: Study, out: Path) -> dict[str, Path]:
    """Of all runs, tuning and final, by their names among the leases."""
    return {name_of(job): job.folder(out) for job in [*plan.tuning(), *plan.finals(choose(plan, out))]}


def results(out: Path) -> str:
    """results.csv but for what took time."""
    lines = (out / "results.csv").read_text().splitlines()
    return "\n".join(line for line in lines if "seconds" not in line)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_one_of_two_processes_is_killed_and_no_run_is_done_twice_or_lost(tmp_path: Path) -> None:
    study, out = tmp_path / "study.toml", tmp_path / "out"
    study.write_text(STUDY)
    first, second = started(study, out, 120.0), started(study, out, 120.0)
    name = until(lambda: in_hand(second, out) and in_hand(first, out))
    run, _, number = name.rpartition(".")
    folder = folders(Study.read(study), out)[run]
    until(lambda: len(lines(folder / "rounds.csv")) > 6)  # a head, the rounds 0 to 4, or more
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    before = lines(folder / "rounds.csv")
    until(lambda: leases(out)[name].gone)
    assert leases(out)[name].state == HELD
    assert len(before) < ROUNDS + 2  # in the middle of it

    _, said = second.communicate(timeout=100)
    assert second.returncode == 0 and "2/2" in said, said
    plan = Study.read(study)
    assert len(folders(plan, out)) == 6
    told = leases(out)
    for run, path in folders(plan, out).items():
        assert [row["round"] for row in read_table(path / "rounds.csv")] == list(range(ROUNDS + 1)), run
        assert read_json(path / "summary.json")["complete"], run
        assert [told[n].state for n in told if n.rpartition(".")[0] == run][-1] == DONE
        assert sum(told[n].state == DONE for n in told if n.rpartition(".")[0] == run) == 1
    # the killed run went on from its last checkpoint: up to there even the seconds are those of the first process
    kept = 2 + (len(before) - 2) // 3 * 3
    assert lines(folder / "rounds.csv")[:kept] == before[:kept]
    assert told[name].state == HELD and number == "1"
    compare(study, tmp_path / "alone", jobs=2)
    assert results(out) == results(tmp_path / "alone")
    assert (out / "tuning.csv").read_bytes() == (tmp_path / "alone" / "tuning.csv").read_bytes()


def test_a_process_that_was_stopped_for_longer_than_its_lease_writes_nothing_more(tmp_path: Path) -> None:
    study, out = tmp_path / "study.toml", tmp_path / "out"
    study.write_text(PLAIN)
    process = started(study, out, 2.0)
    run = until(lambda: in_hand(process, out)).rpartition(".")[0]
    folder = folders(Study.read(study), out)[run]
    until(lambda: len(lines(folder / "rounds.csv")) > 4)
    os.killpg(process.pid, signal.SIGSTOP)
    compare(study, out, jobs=1)

    def files() -> dict[Path, tuple[int, bytes]]:
        found = [path for path in (out / "all").rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}

    there, table = files(), results(out)
    assert [row["round"] for row in read_table(folder / "rounds.csv")] == list(range(2 * ROUNDS + 1))
    os.killpg(process.pid, signal.SIGCONT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert f"all / FedAvg / seed 0: {LATE}" in said and "Traceback" not in said
    now = files()
    changed = {path for path in there.keys() | now.keys() if there.get(path) != now.get(path)}
    # the write that was in hand when the process was stopped is finished, as docs/slurm.md says; nothing is begun
    assert len(changed) <= 1 and all("checkpoint" in path.parts for path in changed), changed
    assert results(out) == table
    assert [lost.rpartition(".")[0] for lost, holder in leases(out).items() if holder.state == LOST] == [run]
    assert sum(holder.state == DONE for holder in leases(out).values()) == 2
