"""What a row of rounds.csv says."""

from __future__ import annotations

from typing import Any

import disue


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
