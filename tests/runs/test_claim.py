"""A right to a run's folder that can be lost: nothing is written after that, and it outranks the lock of an old one."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

import disue
from disue.core.errors import UserError
from disue.runs.folder import Folder, hold, read_table

SPEC: dict[str, Any] = {
    "rounds": 4,
    "data": {"name": "digits"},
    "partition": {"kind": "iid", "clients": 8},
    "cohort": {"size": 4},
    "local": {"epochs": 1},
    "method": {"name": "scaffold"},
    "engine": {"backend": "lean", "workers": 1},
    "checkpoint": {"every": 1},
}


class Gone(Exception):
    """What a claim raises here."""


@dataclasses.dataclass
class Claim:
    """Held until it is said to be lost."""

    name: str = "mine.1"
    lost: bool = False
    asked: int = 0

    def check(self) -> None:
        self.asked += 1
        if self.lost:
            raise Gone


@pytest.mark.parametrize("memory", [1024, 0], ids=["in RAM", "on disk"])
def test_a_lost_claim_ends_the_run_before_anything_is_written(memory: int, tmp_path: Path) -> None:
    """Lost after round 1, as by a process that was stopped there; the clients' memories are not written either."""
    claim, out, there = Claim(), tmp_path / "run", {}

    def lose(record: Any) -> None:
        if record.round == 1:
            claim.lost = True
            there.update(files(out))

    spec = {**SPEC, "engine": {**SPEC["engine"], "memory": memory}}
    with pytest.raises(Gone):
        disue.run(spec, out, on_round=lose, report=False, claim=claim)
    assert claim.asked > 10 and len(there) > 5
    assert files(out) == there
    assert any("rows-" in path.name for path in there) and len(read_table(out / "rounds.csv")) == 2
    with pytest.raises(Gone):
        disue.resume(out, report=False, claim=claim)
    assert files(out) == there


def files(out: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
def test_a_claim_outranks_the_lock_of_an_old_claim_and_no_other(tmp_path: Path) -> None:
    lock, taken = tmp_path / ".lock", "another process"
    by_hand = hold(lock, taken)
    for by in ("", "mine.1"):
        with pytest.raises(UserError, match=taken):
            hold(lock, taken, by)
    assert by_hand is not None
    by_hand.close()
    first = hold(lock, taken, "mine.1")
    with pytest.raises(UserError, match=taken):
        hold(lock, taken)  # a command that was given by hand waits for its end
    second = hold(lock, taken, "mine.2")
    with pytest.raises(UserError, match=taken):
        hold(lock, taken)
    assert first is not None and second is not None
    first.close()  # the old one's end frees nothing
    with pytest.raises(UserError, match=taken):
        hold(lock, taken)
    second.close()
    again = hold(lock, taken)
    assert again is not None and lock.read_text() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
def test_a_folder_is_locked_in_the_claims_name(tmp_path: Path) -> None:
    with Folder(tmp_path, Claim()).locked():
        assert (tmp_path / ".lock").read_text() == "mine.1"
        with pytest.raises(UserError, match="another process is writing this run"), Folder(tmp_path).locked():
            pass
    with Folder(tmp_path).locked():
        assert (tmp_path / ".lock").read_text() == ""
