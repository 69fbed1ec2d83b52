"""A run that is killed with SIGKILL at a random moment and resumed ends as if nothing had happened."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import disue
from disue.runs.folder import table, write_text
from disue.runs.spec import Spec

ROUNDS = 24
SPEC: dict[str, Any] = {
    "rounds": ROUNDS,
    "data": {"name": "digits"},
    "partition": {"clients": 20, "alpha": 0.1},
    "cohort": {"share": 0.4, "dropout": 0.2, "newcomers": 0.1},
    "local": {"epochs": 2, "batch": 10, "lr": 0.05, "clip": 5.0},
    "evaluate": {"every": 4},
    "checkpoint": {"every": 3},
}
METHODS: dict[str, dict[str, Any]] = {
    "disue": {"name": "disue", "k": 3},
    "disue-generator": {"name": "disue-generator", "expert": {"iterations": 2, "ema": 0.5}},
    "local": {"name": "local"},
    "clustered": {"name": "clustered", "k": 3, "aggregate": {"momentum": 0.5}, "grouping": {"regroup": 5}},
}
TIMES = ("seconds", "client_seconds")


def facts(folder: Path) -> dict[str, Any]:
    """Everything that a run leaves but its times."""
    out: dict[str, Any] = {}
    for name in ("rounds", "clients", "groups", "events"):
        with (folder / f"{name}.csv").open(newline="") as file:
            out[name] = [
                {k: v for k, v in row.items() if not k.startswith(TIMES) and v != ""} for row in csv.DictReader(file)
            ]
    summary = json.loads((folder / "summary.json").read_text())
    out["metrics"] = summary["metrics"]
    out["totals"] = {k: v for k, v in summary["totals"].items() if not k.startswith(TIMES)}
    state = sorted((folder / "checkpoint").glob("round-*.safetensors"))
    assert [path.name for path in state] == [f"round-{ROUNDS:05d}.safetensors"]
    out["state"] = state[0].read_bytes()
    return out


def start(spec: Path, out: Path) -> subprocess.Popen[bytes]:
    program = (
        "import sys, disue\n"
        "from pathlib import Path\n"
        "out = Path(sys.argv[2])\n"
        "go = (lambda: disue.resume(out, report=False)) if (out / 'spec.toml').exists() else "
        "(lambda: disue.run(sys.argv[1], out, report=False))\n"
        "go()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, str(spec), str(out)], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def rounds_done(out: Path) -> int:
    try:
        return len((out / "rounds.csv").read_text().splitlines()) - 2
    except FileNotFoundError:
        return -1


@pytest.mark.parametrize(("name", "kills"), [("disue", 5), ("disue-generator", 2), ("local", 2), ("clustered", 2)])
def test_sigkill_at_a_random_moment_changes_nothing(name: str, kills: int, tmp_path: Path) -> None:
    spec = Spec.of({**SPEC, "method": METHODS[name]})
    disue.run(spec, tmp_path / "whole", report=False)
    write_text(tmp_path / "spec.toml", spec.toml())
    chance, killed = random.Random(name), 0
    for _ in range(kills):
        process = start(tmp_path / "spec.toml", tmp_path / "killed")
        # somewhere in the next stretch of rounds, at a moment that has nothing to do with the loop
        goal = rounds_done(tmp_path / "killed") + 1 + chance.randrange(2 * ROUNDS // (3 * kills))
        goal = min(goal, ROUNDS - 2)
        while process.poll() is None and rounds_done(tmp_path / "killed") < goal:
            time.sleep(0.005)
        time.sleep(chance.random() * 0.05)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed == kills
    assert start(tmp_path / "spec.toml", tmp_path / "killed").wait() == 0
    whole, again = facts(tmp_path / "whole"), facts(tmp_path / "killed")
    for part in whole:
        assert whole[part] == again[part], part


def test_a_checkpoint_of_another_method_is_refused(tmp_path: Path) -> None:
    small = {**SPEC, "rounds": 3}
    disue.run({**small, "method": {"name": "fedavg"}}, tmp_path / "a", report=False)
    disue.run({**small, "method": {"name": "clustered", "k": 2}}, tmp_path / "b", report=False)
    name = "round-00003.safetensors"
    (tmp_path / "a" / "checkpoint" / name).write_bytes((tmp_path / "b" / "checkpoint" / name).read_bytes())
    with pytest.raises(disue.UserError, match="belongs to another run") as found:
        disue.resume(tmp_path / "a")
    assert found.value.key == "checkpoint"


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "foreign"])
def test_a_damaged_checkpoint_is_one_sentence(harm: str, tmp_path: Path) -> None:
    disue.run({**SPEC, "rounds": 3, "method": {"name": "fedavg"}}, tmp_path / "a", report=False)
    file = tmp_path / "a" / "checkpoint" / "round-00003.safetensors"
    blob = file.read_bytes()
    harmed = {"cut": blob[: len(blob) // 2], "flip": b"\xff" * 8 + blob[8:], "empty": b"", "foreign": b"hello world"}
    file.write_bytes(harmed[harm])
    with pytest.raises(disue.UserError, match="no whole checkpoint") as found:
        disue.resume(tmp_path / "a")
    assert found.value.key == "checkpoint"
    assert (tmp_path / "a" / "rounds.csv").exists()


def test_a_run_that_is_stopped_early_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(disue.Stopped, match="disue resume"):
        disue.run(
            {**SPEC, "method": {"name": "fedavg"}},
            tmp_path / "a",
            on_round=lambda record: "stop" if record.round == 5 else None,
            report=False,
        )
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["complete"] is False
    disue.resume(tmp_path / "a", report=False)
    disue.run({**SPEC, "method": {"name": "fedavg"}}, tmp_path / "b", report=False)
    ours, theirs = facts(tmp_path / "a"), facts(tmp_path / "b")
    assert ours == theirs


def test_tables_keep_every_bit() -> None:
    text = table([{"a": 0.1 + 0.2, "b": 1}, {"a": 1e-300, "c": "x,y"}])
    rows = list(csv.DictReader(text.splitlines()))
    assert float(rows[0]["a"]) == 0.1 + 0.2
    assert float(rows[1]["a"]) == 1e-300
    assert rows[1]["c"] == "x,y"
