"""`disue privacy-check`: its tables, its files, its exit code."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from disue.cli.privacy import duration
from disue.core.streams import Streams
from disue.secure.check import costs, linking
from disue.secure.check.audit import FILE
from disue.secure.check.cohort import Cohort

Disue = Callable[..., Result]


def test_some_experiments_with_costs(disue: Disue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "LEAST", 0.0)
    out = tmp_path / "table.csv"
    found = disue("privacy-check", "--quick", "--only", "linking", "--only", "late-upload", "--out", out)
    assert found.exit_code == 0, found.output
    assert "a seed used twice" in found.stdout and "key exchange" in found.stdout and "FAILED" not in found.stdout
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert [row["number"] for row in rows] == ["2", "12", "12"] and {row["passed"] for row in rows} == {"True"}
    spent = list(csv.DictReader((tmp_path / "table-costs.csv").open(encoding="utf-8")))
    assert {row["who"] for row in spent} == {"client", "server"} and all(float(row["seconds"]) >= 0 for row in spent)


def test_labels_are_inferred_from_clients_that_train(disue: Disue, tmp_path: Path) -> None:
    out = tmp_path / "labels.csv"
    found = disue("privacy-check", "--quick", "--only", "labels", "--no-costs", "--quiet", "--out", out)
    assert (found.exit_code, found.output) == (0, "")
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert len(rows) == 8 and all("digits, first round" in row["name"] for row in rows)
    assert all(float(row["against"]) > 0.8 for row in rows[:4]), "with the seed, or in plain, labels are named"


def test_exit_code_1_and_a_sentence_where_something_does_not_hold(
    disue: Disue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = linking.keys
    monkeypatch.setattr(linking, "keys", lambda streams, *numbers: true(streams, 0))
    found = disue("privacy-check", "--quick", "--only", "linking", "--no-costs", "--out", tmp_path / "x.csv")
    assert found.exit_code == 1
    assert "1 of 1 failed: 2 clients found again" in found.stderr and "FAILED" in found.stdout


def test_words_that_are_wrong(disue: Disue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = disue("privacy-check", "--only", "linkin", "--out", tmp_path / "x.csv")
    assert found.exit_code == 2 and 'Did you mean "linking"?' in found.stderr
    found = disue("privacy-check", tmp_path)
    assert found.exit_code == 2 and "no transcript" in found.stderr
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = disue("privacy-check", "--quick")
    assert found.exit_code == 2 and 'pip install "disue[secure]"' in found.stderr


def test_the_transcript_of_a_run(disue: Disue, tmp_path: Path, spec: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "spec.toml").write_text(spec.read_text())
    cohort = Cohort(Streams(1), 6, 300)
    exchange = cohort.exchange(cohort.sketched())
    exchange.open()
    exchange.sketches()
    exchange.sums({0: range(6)})
    (run / FILE).write_bytes(cohort.heard.pack())
    found = disue("privacy-check", run)
    assert found.exit_code == 0, found.output
    assert len(list(csv.DictReader((run / "privacy-check.csv").open(encoding="utf-8")))) == 8
    from disue.runs.first_round import hidden_of

    counts = hidden_of(run)
    assert len(counts) == 10 and sum(int(np.sum(values)) for values in counts.values()) > 1000
    told = next(iter(counts.values())).astype("<i8").tobytes() + bytes(16)
    message = cohort.heard.messages[-1][2]
    leaked = b"d" + bytes(4) + (len(message) + len(told)).to_bytes(4, "little") + message + told
    (run / FILE).write_bytes(cohort.heard.pack() + leaked)
    found = disue("privacy-check", run)
    assert found.exit_code == 1 and "images of clients' arrays" in found.stderr
    assert "format refuses" in found.stderr


def test_durations() -> None:
    assert [duration(found) for found in (0.00041, 3.1e-6, 0.0427, 1.5)] == ["410 µs", "3.1 µs", "43 ms", "1.5 s"]
