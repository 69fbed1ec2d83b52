"""What a row of rounds.csv says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import disue
from disue.reports.folder import _last_columns
from disue.runs.folder import LISTED, Folder


def rows(grouping: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    spec = {
        "rounds": 2,
        "partition": {"clients": 12, "alpha": 0.5},
        "cohort": {"size": 3},
        "local": {"epochs": 1},
        "method": {"name": "clustered", "k": 2, "grouping": grouping},
    }
    disue.run(spec, on_round=lambda record: found.append(record.row))
    return found


def test_the_training_loss_is_the_cohorts_and_not_a_surveys() -> None:
    once, again = rows({}), rows({"regroup": 1})
    assert "train_loss" not in once[0]  # the survey before round 0 trains nothing that stays
    assert again[1]["train_loss"] == once[1]["train_loss"]
    assert again[1]["bytes_up"] > once[1]["bytes_up"]


def test_a_line_that_a_killed_run_left_torn_is_dropped(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for row in ({"round": 0}, {"round": 1}, {"round": 2}):
        folder.row(row)
    for round in (1, 21):
        folder.append("clients", [{"round": round, "client": 5, "samples": 3}])
    whole = (tmp_path / "clients.csv").read_text()
    (tmp_path / "clients.csv").write_text(whole.removesuffix("1,5,3\n"))  # of round 21 only the 2 was written
    folder.back_to(2)
    assert (tmp_path / "clients.csv").read_text() == "round,client,samples\n1,5,3\n"


def test_many_clients_leave_columns_that_the_report_reads_and_a_resumed_run_drops(tmp_path: Path) -> None:
    folder, ids = Folder(tmp_path), np.arange(5, 5 + 3 * (LISTED + 1), 3)
    scores = np.linspace(0.0, 100.0, ids.size)
    scores[7] = np.nan
    for round in (10, 20):
        folder.clients(round, {"client": ids, "samples": ids + 1, "group": ids % 4, "group_local": scores + round})
    assert not (tmp_path / "clients.csv").exists()
    assert {path.name for path in (tmp_path / "clients").iterdir()} == {"round-00010.npz", "round-00020.npz"}
    last = _last_columns(tmp_path / "clients")
    assert set(last["round"].tolist()) == {20.0} and last["client"].tolist() == ids.tolist()
    assert np.array_equal(last["group_local"], scores + 20, equal_nan=True)
    folder.rounds = [{"round": at} for at in range(21)]
    folder.back_to(15)
    assert set(_last_columns(tmp_path / "clients")["round"].tolist()) == {10.0}


def test_as_many_clients_as_are_listed_stay_rows(tmp_path: Path) -> None:
    ids = np.arange(LISTED)
    Folder(tmp_path).clients(3, {"client": ids, "group_local": np.where(ids == 1, np.nan, 50.0)})
    lines = (tmp_path / "clients.csv").read_text().splitlines()
    assert lines[:3] == ["round,client,group_local", "3,0,50.0", "3,1,"] and len(lines) == LISTED + 1
