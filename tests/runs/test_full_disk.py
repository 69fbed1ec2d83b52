"""A disk that is really full: one sentence, exit code 2, and the run goes on elsewhere as if nothing had happened."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import disue
from disue.runs.folder import write_text
from disue.runs.spec import Spec

SPEC = {
    "rounds": 30,
    "data": {"name": "digits"},
    "partition": {"clients": 20, "alpha": 0.5},
    "cohort": {"share": 0.2},
    "local": {"epochs": 1},
    "evaluate": {"every": 1},
    "checkpoint": {"every": 2},
    "engine": {"memory": 0},  # what clients keep lies on the disk
}


def small_disk(folder: Path, kilobytes: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a command while `folder` is a file system of that size; what it holds in the end is copied to `copy`."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f"mount -t tmpfs -o size={kilobytes}k tmpfs '{folder}' || exit 99; {quoted}; code=$?; "
        f"cp -a '{folder}/run' '{folder.parent}/copy'; exit $code"
    )
    return subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)


def allowed(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    (folder / "run").mkdir(parents=True)
    found = small_disk(folder, 100, "mkdir", str(folder / "run")).returncode == 0
    shutil.rmtree(folder.parent / "copy", ignore_errors=True)
    return found


@pytest.mark.parametrize(("method", "kilobytes"), [("fedavg", 96), ("scaffold", 300)])
def test_a_full_disk(method: str, kilobytes: int, tmp_path: Path) -> None:
    """The larger disk has room for what SCAFFOLD's clients keep, so the run begins, but not for the tables as well."""
    if not allowed(tmp_path / "try"):
        pytest.skip("this machine lets no test mount a small file system")
    spec = Spec.of({**SPEC, "method": {"name": method}})
    write_text(tmp_path / "spec.toml", spec.toml())
    disk = tmp_path / "disk"
    disk.mkdir()
    found = small_disk(
        disk,
        kilobytes,
        *(sys.executable, "-m", "disue", "run", str(tmp_path / "spec.toml"), "--out", str(disk / "run"), "--quiet"),
    )
    assert found.returncode == 2, found.stderr
    assert "the disk is full" in found.stderr
    assert "Traceback" not in found.stderr
    copy = tmp_path / "copy"
    assert list((copy / "checkpoint").glob("round-*.safetensors"))
    disue.resume(copy, report=False)
    disue.run(spec, tmp_path / "whole", report=False)
    name = "checkpoint/round-00030.safetensors"
    assert (copy / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    for table in ("clients.csv", "groups.csv"):
        assert (copy / table).read_text() == (tmp_path / "whole" / table).read_text()


def test_a_disk_too_small_for_what_clients_keep_is_seen_at_once(tmp_path: Path) -> None:
    if not allowed(tmp_path / "try"):
        pytest.skip("this machine lets no test mount a small file system")
    write_text(tmp_path / "spec.toml", Spec.of({**SPEC, "method": {"name": "scaffold"}}).toml())
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ("run", str(tmp_path / "spec.toml"), "--out", str(disk / "run"), "--quiet")
    found = small_disk(disk, 200, sys.executable, "-m", "disue", *words)
    assert found.returncode == 2 and len(found.stderr.splitlines()) == 1, found.stderr
    assert "the clients' memories can take" in found.stderr and "has 0.2 MiB left" in found.stderr
    assert not (tmp_path / "copy" / "rounds.csv").exists()
