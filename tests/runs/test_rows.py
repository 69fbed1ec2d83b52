"""What a row of rounds.csv says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import disue
from disue.runs.folder import Folder


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
