"""What a run records of its backend, that going on measures nothing, and the same bits for any number of workers."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from processes import state

import disue
from disue.engine import choice, staff

SPEC: dict[str, Any] = {
    "rounds": 6,
    "data": {"name": "digits"},
    "model": {"name": "mlp", "hidden": [16]},
    "partition": {"clients": 14, "alpha": 0.3},
    "cohort": {"size": 9},
    "local": {"epochs": 2, "batch": 10, "lr": 0.05},
    "method": {"name": "scaffold"},
    "evaluate": {"every": 100},
    "checkpoint": {"every": 2},
    "engine": {"workers": 1},
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the user's; compiled code is not offered, as where there is no compiler."""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    offered = choice._offered
    monkeypatch.setattr(choice, "_offered", lambda *a, **k: [c for c in offered(*a, **k) if c.backend != "native"])
    return tmp_path / "cache"


def recorded(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "env.json").read_text())["engine"]
    return found


def with_engine(**table: Any) -> dict[str, Any]:
    return {**SPEC, "engine": {"workers": 1, **table}}


@pytest.mark.parametrize("cheapest", ["lean", "stacked"])
def test_a_resumed_run_takes_the_record_and_measures_nothing(
    cheapest: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Afterwards the cache is gone, and a measurement would end the test."""
    monkeypatch.setattr(choice, "WORTH", 0.0)
    monkeypatch.setattr(choice, "_cost", lambda here, work, brief, contexts, one: 1.0 + (one.backend != cheapest))
    disue.run(SPEC, tmp_path / "whole", report=False)
    assert recorded(tmp_path / "whole")["why"] == "measured"
    with pytest.raises(disue.Stopped):
        disue.run(SPEC, tmp_path / "a", report=False, on_round=lambda r: "stop" if r.round == 3 else None)
    first = recorded(tmp_path / "a")
    assert (first["backend"], first["why"]) == (cheapest, "measured before")
    shutil.rmtree(cache)

    def refused(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(choice, "_cost", refused)
    monkeypatch.setattr(staff, "choose", refused)
    disue.resume(tmp_path / "a", report=False)
    assert recorded(tmp_path / "a") == first
    assert state(tmp_path / "a") == state(tmp_path / "whole")
    assert not cache.exists()


def test_the_record_goes_before_the_rule(tmp_path: Path) -> None:
    """The record is changed by hand: the run goes on with what it says."""
    with pytest.raises(disue.Stopped):
        disue.run(SPEC, tmp_path / "a", report=False, on_round=lambda r: "stop" if r.round == 2 else None)
    assert recorded(tmp_path / "a")["backend"] == "stacked"  # by rule
    about = json.loads((tmp_path / "a" / "env.json").read_text())
    about["engine"] = {"backend": "loop", "block": 0, "why": "given", "costs": {}}
    (tmp_path / "a" / "env.json").write_text(json.dumps(about))
    disue.resume(tmp_path / "a", report=False)
    assert recorded(tmp_path / "a")["backend"] == "loop"
    disue.run(SPEC, tmp_path / "b", report=False)
    assert state(tmp_path / "a") != state(tmp_path / "b")


@pytest.mark.parametrize(
    ("table", "want"),
    [
        ({"backend": "lean"}, ("lean", 0, "given")),
        ({"backend": "loop"}, ("loop", 0, "given")),
        ({"backend": "stacked", "block": 4}, ("stacked", 4, "given")),
        ({"block": 4}, ("stacked", 4, "by rule")),
    ],
    ids=str,
)
def test_a_forced_backend_is_taken_and_recorded(
    table: dict[str, Any], want: tuple[str, int, str], tmp_path: Path
) -> None:
    said: list[str] = []
    disue.run(
        {**with_engine(**table), "rounds": 1}, tmp_path / "a", report=False, on_round=lambda r: said.extend(r.notes)
    )
    found = recorded(tmp_path / "a")
    assert (found["backend"], found["block"], found["why"]) == want
    assert not [note for note in said if "instead of" in note]
    assert any(note.startswith("engine: stacked, 4") for note in said) == (want[2] == "by rule")


@pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")
@pytest.mark.parametrize("table", [{"backend": "lean"}, {"backend": "stacked", "block": 3}], ids=str)
def test_one_two_and_three_workers_leave_the_same_bits(table: dict[str, Any], tmp_path: Path) -> None:
    found = []
    for workers in (1, 2, 3):
        out = tmp_path / str(workers)
        disue.run(with_engine(workers=workers, **table), out, report=False)
        assert recorded(out)["backend"] == table["backend"]
        found.append((state(out), (out / "rounds.csv").read_text().count("\n")))
    assert found[0] == found[1] == found[2]
