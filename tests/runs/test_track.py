"""Trackers get the rows of rounds.csv, change nothing, and may fail."""

from __future__ import annotations

import csv
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import pytest

import disue
from disue.core.errors import UserError
from disue.runs.spec import Spec

SPEC: dict[str, Any] = {
    "rounds": 4,
    "partition": {"clients": 8, "alpha": 0.5},
    "cohort": {"share": 0.5},
    "local": {"epochs": 1, "batch": 20},
    "evaluate": {"every": 2},
    "checkpoint": {"every": 2},
}


def track(*to: str, **more: str) -> dict[str, Any]:
    return {**SPEC, "track": {"to": list(to), **more}}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def events(folder: Path) -> list[tuple[str, str]]:
    return [(row["round"], row["event"]) for row in rows(folder / "events.csv") if row["event"].startswith("track")]


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "told.jsonl").read_text().splitlines()]


def test_a_tracker_is_told_what_stands_in_the_folder(tmp_path: Path) -> None:
    summary = disue.run(track("track_bed:Recorder"), tmp_path / "run", report=False)
    first, *between, last = told(tmp_path / "run")
    assert first == {"start": -1, "method": "fedavg"}
    assert last == {"end": True, "served": summary["metrics"]["served_global"]["last10"]}
    for line, row in zip(between, rows(tmp_path / "run" / "rounds.csv"), strict=True):
        assert line == {name: float(value) for name, value in row.items() if value}
    assert events(tmp_path / "run") == []


def test_trackers_that_fail_change_nothing_and_are_said(tmp_path: Path) -> None:
    """Each failure is one sentence in events.csv and one note of a record; every bit of the run is as without them."""
    plain, watched = tmp_path / "plain", tmp_path / "watched"
    disue.run(SPEC, plain, report=False)
    notes: list[tuple[int, str]] = []
    disue.run(
        track("track_bed:AtStart", "track_bed:AtRow", "track_bed:AtEnd", "track_bed:Recorder"),
        watched,
        report=False,
        on_round=lambda record: notes.extend((record.round, note) for note in record.notes if "track:" in note),
    )
    assert events(watched) == [
        ("0", "track: track_bed:AtStart failed and is left out from here on (OSError: no server)"),
        ("2", "track: track_bed:AtRow failed and is left out from here on (ValueError: full)"),
        ("4", "track: track_bed:AtEnd failed and is left out from here on (RuntimeError: gone)"),
    ]
    assert [(str(round), note) for round, note in notes] == events(watched)[:2]
    assert len(told(watched)) == 1 + 5 + 1  # the last one is not harmed by the others
    for one, other in zip(rows(plain / "rounds.csv"), rows(watched / "rounds.csv"), strict=True):
        assert {k: v for k, v in one.items() if "seconds" not in k} == {
            k: v for k, v in other.items() if "seconds" not in k
        }
    for path in (plain / "checkpoint").rglob("*.safetensors"):
        assert path.read_bytes() == (watched / path.relative_to(plain)).read_bytes()


def test_a_resumed_run_tells_on_from_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(disue.Stopped):
        disue.run(
            track("track_bed:Recorder"), tmp_path, report=False, on_round=lambda r: "stop" if r.round == 3 else ""
        )
    disue.resume(tmp_path, report=False)
    lines = told(tmp_path)
    assert [line["round"] for line in lines if "round" in line] == [0, 1, 2, 3, 4]
    assert [line["start"] for line in lines if "start" in line] == [-1, 3]
    assert [line["end"] for line in lines if "end" in line] == [False, True]


def test_what_is_not_there_is_refused_before_the_first_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r'unknown tracker "wandbb".*Did you mean "wandb"') as caught:
        Spec.of(track("wandbb"))
    assert caught.value.key == "track.to"
    with pytest.raises(UserError, match="needs a run folder"):
        disue.run(track("track_bed:Recorder"))
    with pytest.raises(UserError, match="cannot be imported"):
        disue.run(track("track_bed:Nobody"), tmp_path / "a")
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mlflow" else real(name))
    with pytest.raises(UserError, match=r'mlflow is not installed; pip install "disue\[tracking\]"'):
        disue.run(track("mlflow"), tmp_path / "b")
    # a run that began elsewhere goes on all the same, and says so
    disue.run({**track(), "rounds": 2}, tmp_path / "c", report=False)
    spec = (tmp_path / "c" / "spec.toml").read_text()
    (tmp_path / "c" / "spec.toml").write_text(
        spec.replace("rounds = 2", "rounds = 3").replace("to = []", 'to = ["mlflow"]')
    )
    disue.resume(tmp_path / "c", report=False)
    assert [at for at, text in events(tmp_path / "c") if "mlflow is not installed" in text] == ["3"]


# -- the real ones, offline ------------------------------------------------------------------------------


def column(folder: Path, name: str) -> dict[int, float]:
    return {int(row["round"]): float(row[name]) for row in rows(folder / "rounds.csv") if row[name]}


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed (disue[tracking])")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(disue.Stopped):
        disue.run(track("tensorboard"), tmp_path, report=False, on_round=lambda r: "stop" if r.round == 2 else "")
    disue.resume(tmp_path, report=False)
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert events(tmp_path) == []
    scalars = {event.step: event.value for event in found.Scalars("served_global")}
    assert scalars == pytest.approx(column(tmp_path, "served_global"))


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed (disue[tracking])")
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(disue.Stopped):
        disue.run(
            track("mlflow", project="ours"), tmp_path, report=False, on_round=lambda r: "stop" if r.round == 2 else ""
        )
    summary = disue.resume(tmp_path, report=False)
    assert events(tmp_path) == []
    client = MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("ours").experiment_id])
    history = {one.step: one.value for one in client.get_metric_history(run.info.run_id, "served_global")}
    assert history == column(tmp_path, "served_global")
    assert run.data.params["local.epochs"] == "1" and run.info.status == "FINISHED"
    assert run.data.metrics["last10.served_global"] == summary["metrics"]["served_global"]["last10"]


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed (disue[tracking])")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    disue.run(track("wandb", project="ours"), tmp_path, report=False)
    assert events(tmp_path) == []
    name = json.loads((tmp_path / "track.json").read_text())["wandb"]
    (file,) = (tmp_path / "wandb").glob(f"offline-run-*-{name}/run-{name}.wandb")
    began = time.monotonic()
    while b"last10.served_global" not in file.read_bytes():  # its own process writes it
        assert time.monotonic() - began < 30
        time.sleep(0.05)
    assert file.read_bytes().count(b"seconds_local") >= 5 and b"ours" in file.read_bytes()
