"""What clients keep to themselves in a real run: in RAM or on disk the same bits, killed or not; and a full disk."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

import disue
from disue import methods
from disue.engine import MemoryStore
from disue.runs.folder import write_text
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import prepare
from disue.runs.spec import Spec

ROUNDS = 16
CLIENTS = 300
SPEC: dict[str, Any] = {
    "rounds": ROUNDS,
    "data": {"name": "digits"},
    "model": {"name": "mlp", "hidden": [32]},
    "partition": {"kind": "iid", "clients": CLIENTS},
    "cohort": {"size": 60},
    "local": {"epochs": 1, "batch": 5, "lr": 0.05},
    "method": {"name": "scaffold"},
    "evaluate": {"every": 100},
    "engine": {"backend": "lean", "memory": 0},
    "checkpoint": {"every": 2},
}
RAM, DISK = 1024, 0


def spec_of(memory: int, **changes: Any) -> Spec:
    return Spec.of({**SPEC, **changes, "engine": {"backend": "lean", "memory": memory}})


def events(out: Path) -> list[str]:
    with (out / "events.csv").open(newline="") as file:
        return [row["event"] for row in csv.DictReader(file)]


def left(out: Path, rounds: int = ROUNDS) -> tuple[bytes, dict[int, bytes]]:
    """The state of a finished run, and every client's memory."""
    store = MemoryStore()
    store.load(out / "checkpoint" / "memory", rounds)
    memories = {i: b"".join(v.tobytes() for _, v in sorted(store.get(i).items())) for i in store.ids}
    return (out / "checkpoint" / f"round-{rounds:05d}.safetensors").read_bytes(), memories


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    disue.run(spec_of(RAM), out, report=False)
    return out


@pytest.mark.parametrize("name", ["scaffold", "local", "fedavg", "clustered", "disue"])
def test_what_a_method_says_it_keeps_is_what_its_clients_keep(name: str) -> None:
    """`foreseen` rests on it. The learning rate is small, so that nobody is left out."""
    method = {"name": name, **({"k": 2} if name in ("clustered", "disue") else {})}
    spec = Spec.of({**SPEC, "rounds": 2, "method": method, "partition": {"clients": 12}, "cohort": {"size": 5}})
    federate = SimulatedRun(prepare(spec), None)
    for _ in federate:
        pass
    kept = {
        sum(v.nbytes for v in federate.side.trainer.memory.get(i).values()) for i in federate.side.trainer.memory.ids
    }
    assert kept == ({4 * federate.setup.world.layout.d} if federate.setup.method.keeps == 1 else set())
    assert federate.setup.method.keeps == (name in ("scaffold", "local"))
    assert name in methods.TABLE


def test_on_disk_or_in_ram_a_run_is_the_same_and_says_where_once(whole: Path, tmp_path: Path) -> None:
    disue.run(spec_of(DISK), tmp_path / "disk", report=False)
    assert left(tmp_path / "disk") == left(whole)
    assert len(left(whole)[1]) > CLIENTS * 0.9
    ram, disk = events(whole), events(tmp_path / "disk")
    assert [e for e in ram if "memories" in e and "can take" in e and "they stay in RAM" in e]
    assert sum("they lie on the disk in the run's folder" in e for e in disk) == 1
    assert not any("lie on the disk in" in e for e in ram)
    assert [e for e in disk if "can take 2.8 MiB" in e and "beyond 0.0 MiB they lie on the disk" in e]


def test_a_run_without_a_folder_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = []
    disue.run(spec_of(DISK, rounds=3), on_round=lambda record: found.extend(record.notes))
    assert sum("in a temporary folder" in note for note in found) == 1
    assert not list(tmp_path.iterdir())


def rounds_done(out: Path) -> int:
    try:
        return len((out / "rounds.csv").read_text().splitlines()) - 2
    except FileNotFoundError:
        return -1


@pytest.mark.parametrize("memory", [DISK, 1])
def test_killed_by_sigkill_and_resumed_it_ends_with_the_same_bits(memory: int, whole: Path, tmp_path: Path) -> None:
    """With 1 MiB the memories move to the disk on the way."""
    out = tmp_path / "killed"
    write_text(tmp_path / "spec.toml", spec_of(memory).toml())
    words = [sys.executable, "-m", "disue", "run", str(tmp_path / "spec.toml"), "--out", str(out), "--quiet"]
    process = subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while process.poll() is None and rounds_done(out) < 7:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert rounds_done(out) < ROUNDS
    disue.resume(out, report=False)
    assert left(out) == left(whole)
    assert sum("they lie on the disk in the run's folder" in e for e in events(out)) == 1


def test_a_disk_that_cannot_hold_them_is_seen_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**40, 2**40, 2**20))
    with pytest.raises(disue.UserError, match=r"can take 2\.8 MiB \(300 clients, 1 vector") as caught:
        disue.run(spec_of(RAM), tmp_path / "a", report=False)
    assert caught.value.key == "out" and not (tmp_path / "a" / "rounds.csv").exists()
    disue.run(spec_of(RAM, method={"name": "fedavg"}, rounds=1), tmp_path / "b", report=False)  # keeps nothing


def test_memories_of_an_earlier_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(disue.Stopped):
        disue.run(spec_of(RAM), tmp_path / "a", report=False, on_round=lambda r: "stop" if r.round == 3 else None)
    memory = tmp_path / "a" / "checkpoint" / "memory"
    shutil.rmtree(memory)
    memory.mkdir()
    (memory / "memory-000003.safetensors").write_bytes(b"")
    with pytest.raises(disue.UserError, match="earlier version of disue") as caught:
        disue.resume(tmp_path / "a", report=False)
    assert caught.value.key == "checkpoint"


@pytest.mark.parametrize("value", [-1, 0.5, "much", True])
def test_a_budget_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(disue.UserError, match=r"engine\.memory must be integer ≥ 0"):
        Spec.of({"engine": {"memory": value}})
