"""Real runs with two workers: Ctrl-C, a worker that is killed, one that runs out of memory."""

from __future__ import annotations

import os
import re
import signal
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from processes import children, gone, rounds_done, start, state, until

import disue
from disue.engine.pool.arena import SHARED
from disue.runs.folder import read_table, write_text
from disue.runs.spec import Spec

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")
ROUNDS = 12
SPEC: dict[str, Any] = {
    "rounds": ROUNDS,
    "data": {"name": "digits"},
    "partition": {"kind": "iid", "clients": 12},
    "cohort": {"size": 6},
    "local": {"epochs": 4, "batch": 10, "lr": 0.05},
    "method": {"name": "scaffold"},
    "evaluate": {"every": 100},
    "engine": {"backend": "lean", "workers": 2},
    "checkpoint": {"every": 4},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The last state of the run that nothing happens to, in one process."""
    out = tmp_path_factory.mktemp("whole") / "run"
    disue.run({**SPEC, "engine": {"backend": "lean", "workers": 1}}, out, report=False)
    return state(out)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    write_text(tmp_path / "spec.toml", Spec.of(SPEC).toml())
    (tmp_path / "tmp").mkdir()
    return tmp_path / "spec.toml"


def shared() -> set[str]:
    return {path.name for path in SHARED.glob("disue-*")}


@pytest.mark.parametrize(
    ("to", "times", "number"),
    [
        ("the group", 1, signal.SIGINT),
        ("the main process", 1, signal.SIGINT),
        ("the group", 2, signal.SIGINT),
        ("the group", 2, signal.SIGTERM),
        ("the main process", 1, signal.SIGTERM),
    ],
)
def test_a_signal_leaves_nothing_behind_and_the_run_goes_on(
    to: str, times: int, number: int, spec: Path, whole: bytes
) -> None:
    """Ctrl-C once: the round in hand is finished; twice: it is broken off. A second SIGTERM changes nothing."""
    out, tmp, before = spec.parent / "run", spec.parent / "tmp", shared()
    process = start("run", spec, "--out", out, tmp=tmp)
    until(process, out, 5)
    pids = children(process.pid)
    assert len(pids) == 3  # the workers' parent and two workers
    for _ in range(times):
        (os.killpg if to == "the group" else os.kill)(process.pid, number)
        time.sleep(0.02)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number, said
    assert len(said.strip().splitlines()) == 1 and "Traceback" not in said
    broken = times == 2 and number == signal.SIGINT
    assert ("disue resume" in said) or (broken and "broken off by Ctrl-C" in said)
    assert gone(pids)
    assert shared() == before and not list(tmp.iterdir())
    assert not [path for path in out.rglob("*") if path.name.startswith(".") and path.name != ".lock"]
    assert 5 <= rounds_done(out) < ROUNDS
    for part in (".", "checkpoint"):  # what a SIGKILL at the wrong moment leaves
        (out / part / ".rounds.csv.x1.disue-partial").touch()
    disue.resume(out, report=False)
    assert state(out) == whole
    assert not [path for path in out.rglob("*") if path.name.startswith(".") and path.name != ".lock"]


def test_a_worker_killed_in_the_middle_of_a_block_costs_its_task(spec: Path, whole: bytes) -> None:
    out = spec.parent / "run"
    process = start("run", spec, "--out", out)
    killed = []
    for round in (3, 6):
        until(process, out, round)
        _, worker, *_ = children(process.pid)
        os.kill(worker, signal.SIGKILL)
        killed.append(worker)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 0, said
    assert len(set(killed)) == 2 and gone(killed)
    events = [str(row["event"]) for row in read_table(out / "events.csv")]
    assert sum(bool(re.match(r"a worker training client \d+ ended \(killed by SIGKILL", e)) for e in events) == 2
    assert state(out) == whole


HUNGRY = """
import os, resource
from pathlib import Path
import torch

def loss(logits, labels):
    mark = Path(os.environ["DISUE_TEST_LEFT"])
    left = int(mark.read_text())
    if left:
        mark.write_text(str(left - 1))
        before = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**24, before[1]))
        try:
            torch.ones(2**28)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
    return torch.nn.functional.cross_entropy(logits, labels)
"""


@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_without_memory_costs_its_task_once(times: int, spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address space of the worker ends 16 MiB above what it has. A second time names the client."""
    folder, out, mark = spec.parent, spec.parent / "run", spec.parent / "left"
    write_text(folder / "hungry_loss.py", textwrap.dedent(HUNGRY))
    monkeypatch.syspath_prepend(str(folder))
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    few = {**SPEC, "rounds": 2, "local": {**SPEC["local"], "loss": "hungry_loss:loss"}, "cohort": {"size": 1}}
    write_text(spec, Spec.of(few).toml())
    mark.write_text(str(times))
    process = start("run", spec, "--out", out, PYTHONPATH=paths, DISUE_TEST_LEFT=str(mark))
    said = process.communicate(timeout=60)[1]
    if times == 2:
        assert process.returncode == 2 and "Traceback" not in said, said
        assert re.search(r"a worker training client \d+ in round 0 ended 2 times \(.*memory", said)
        return
    assert process.returncode == 0, said
    events = [str(row["event"]) for row in read_table(out / "events.csv")]
    assert [e for e in events if re.match(r"a worker training client \d+ ended \(.*memory.*run again", e)]
    monkeypatch.setenv("DISUE_TEST_LEFT", str(mark))
    disue.run({**few, "engine": {"backend": "lean", "workers": 1}}, folder / "whole", report=False)
    assert state(out) == state(folder / "whole")
