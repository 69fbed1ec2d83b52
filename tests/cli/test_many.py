"""What is shown while a study runs, and its commands from end to end."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from rich.console import Console

from disue.cli.many import Many
from disue.runs.spec import Spec
from disue.study.plan import Job
from disue.study.progress import Progress, Said

JOB = Job("digits", "fedavg", 3, Spec())
STUDY = """
rounds = 2
partition.clients = 6
local.epochs = 1
[study]
seeds = [0]
[study.tune]
grid."local.lr" = [0.05]
[[study.method]]
name = "fedavg"
"""


def progress(**more: object) -> Progress:
    values = {"done": 3, "total": 8, "finished": None, "going": (), "left": 95.0, "passed": 4.0, **more}
    return Progress(**values)  # type: ignore[arg-type]


def test_a_line_per_finished_run_where_the_output_is_a_file() -> None:
    out = io.StringIO()
    with Many("study.toml into runs", to=Console(file=out, width=200)) as many:
        many(progress(done=2, left=None))
        many(progress(finished=JOB))
        many(progress(finished=JOB, by="node-17"))
        many(progress(lost="digits / fedavg / seed 3: its process did not answer"))
        many(progress(ending=True))
        many(progress(ending=True))
    assert out.getvalue().splitlines() == [
        "study.toml into runs: 2 of 8 runs are there",
        "3/8  digits / fedavg / seed 3  1 min 35 s left",
        "3/8  digits / fedavg / seed 3  on node-17  1 min 35 s left",
        "digits / fedavg / seed 3: its process did not answer",
        "stopping: the runs in hand finish their round; the same command goes on; another Ctrl-C breaks off at once",
    ]


def test_the_live_block_shows_runs_in_hand_and_the_time_left() -> None:
    out = Console(file=io.StringIO(), width=120, record=True, force_terminal=True)
    many = Many("study.toml", to=out)
    out.print(many)
    assert "checking what is there" in out.export_text()
    many._live = object()  # type: ignore[assignment]
    many(progress(going=((JOB, Said("", 7, 60, 41.26, 1.0)), (JOB, Said("", -1, 60, None, 0.0))), ending=True))
    many(dataclasses.replace(many.progress, others={"node-17": 3, "node-4": 1}))  # type: ignore[type-var]
    out.print(many)
    text = out.export_text()
    for words in (
        "3 of 8 runs",
        "1 min 35 s left",
        "4.0 s passed",
        "round 7 of 60",
        "served 41.3 %",
        "starts",
        "Ctrl-C",
        "3 runs on node-17",
        "1 run on node-4",
    ):
        assert words in text, words


def test_compare_and_tune_from_the_command_line(
    disue: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(STUDY)
    tuned = disue("tune", "tiny.toml", "--jobs", "1")
    assert (tuned.exit_code, tuned.stdout) == (0, "tiny.tuned.toml\n"), tuned.output
    assert "1/1  all / fedavg / local.lr = 0.05" in tuned.stderr
    found = disue("compare", "tiny.tuned.toml", "--out", "runs/tiny", "-j", "1", "--latex")
    assert found.exit_code == 0, found.output
    assert "\\toprule" in found.stdout and found.stdout.endswith("runs/tiny/table.tex\nruns/tiny/report.html\n")
    assert "1/1  all / fedavg / seed 0" in found.stderr and "local.lr" not in found.stderr
    again = disue("compare", "tiny.tuned.toml", "--out", "runs/tiny", "-j", "1")
    assert "Global test accuracy" in again.stdout and again.stderr.startswith("tiny.tuned.toml into runs/tiny")
    assert disue("compare", "tiny.toml", "--out", "runs/tiny", "--quiet").output == ""
