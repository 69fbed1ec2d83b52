"""The examples run, and say what the engine says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import disue
from disue.parts.local import Erm
from disue.runs.spec import Spec

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> ModuleType:
    found = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_fedavg_by_hand_is_what_a_run_does(capsys: pytest.CaptureFixture[str]) -> None:
    """The same spec through the engine; the two differ in the rounding of two ways to the same gradient."""
    accuracy = load("01_fedavg_by_hand").main()
    spec = {
        "rounds": 20,
        "partition": {"clients": 20, "alpha": 0.1},
        "cohort": {"size": 10},
        "model": {"name": "tiny"},
        "local": {"epochs": 5, "batch": 32, "lr": 0.05},
        "method": {"name": "fedavg"},
    }
    again = disue.run(spec)["metrics"]["served_global"]["final"]
    assert abs(accuracy - again) < 1.0
    assert len(capsys.readouterr().out.splitlines()) == 20


def test_by_hand_is_short() -> None:
    code = (EXAMPLES / "01_fedavg_by_hand.py").read_text()
    body = code.split("ROUNDS, EPOCHS", 1)[1].splitlines()
    assert sum(bool(line.strip()) and not line.strip().startswith('"""') for line in body) <= 60


def test_one_line_expert(capsys: pytest.CaptureFixture[str]) -> None:
    example = load("02_one_line_expert")
    tables = {**example.SPEC, "method": example.WITH_EXPERT}
    host = disue.clustered(Erm(**Spec.of(tables).local), k=4)
    assert Spec.of(tables).build() == disue.with_expert(host, disue.Distil())
    plain, expert = example.main()
    said = capsys.readouterr().out
    assert "expert_global" in expert and "expert_global" not in plain
    shown = re.findall(r"average +([\d.]+) +expert +([\d.]+) +effect of the distillation +([+-][\d.]+)", said)
    assert len(shown) == 11  # rounds 0 and 3 … 12: every third, and the last ten
    assert all(abs(float(b) - float(a) - float(c)) < 0.11 for a, b, c in shown)


def test_own_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = load("03_own_arrays").main(tmp_path)
    said = capsys.readouterr().out
    assert summary["complete"] and summary["data"]["variant"] == "own"
    assert "serves this data best" in said
    assert (tmp_path / "run" / "report.html").exists()
