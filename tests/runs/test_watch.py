"""What a run says of an expert that does not help: by hand, and on labels that contradict each other."""

from __future__ import annotations

from pathlib import Path

import disue
from disue.runs.folder import read_table
from disue.runs.watch import CONTRADICTS, HARMS, remarks


def rows(effects: list[float], ahead: float = 0.0) -> list[dict[str, float]]:
    local = {"group_prior_local": 80.0 + ahead, "expert_prior_local": 80.0}
    return [{"round": r, "expert_effect": effect, **local} for r, effect in enumerate(effects)]


def test_harm_is_a_mean_over_five_evaluations_after_row_0() -> None:
    assert remarks(rows([-50.0, -1, -1, -1, -1])) == ()  # four, and row 0 is none of them
    assert remarks(rows([0.0, -1, -1, -1, -1, 2])) == ()  # mean −0.4
    assert remarks(rows([0.0, -1, -1, -1, -1, 1])) == (HARMS,)  # mean −0.6
    assert remarks([{"round": r} for r in range(9)]) == ()  # a method without an expert


def test_group_models_far_ahead_contradict_the_expert() -> None:
    assert remarks(rows([0.0] * 6, ahead=5.0)) == ()
    assert remarks(rows([0.0] * 6, ahead=5.1)) == (CONTRADICTS,)


def test_permuted_labels_are_remarked_once_and_disjoint_labels_are_not(tmp_path: Path) -> None:
    said = {}
    for kind in ("permuted-labels", "disjoint-labels"):
        spec = {
            "rounds": 12,
            "partition": {"kind": kind, "clients": 8, "groups": 2},
            "cohort": {"share": 1.0},
            "local": {"epochs": 1, "batch": 20, "lr": 0.1},
            "method": {"name": "disue-oracle", "share": 0.0},
            "evaluate": {"every": 2},
        }
        disue.run(spec, tmp_path / kind, report=False)
        said[kind] = [row["event"] for row in read_table(tmp_path / kind / "events.csv")]
    assert said["permuted-labels"].count(CONTRADICTS) == 1
    assert CONTRADICTS not in said["disjoint-labels"]
