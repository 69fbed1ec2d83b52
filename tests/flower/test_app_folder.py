"""The folder that `flwr run` takes: Flower itself builds it, and what it builds holds the app and its spec."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from disue import __version__
from disue.core.errors import UserError
from disue.flower.folder import APP, make
from disue.flower.head import hash_of
from disue.flower.loopback import QUIET
from disue.flower.serve import checked
from disue.runs.spec import Spec

SPEC = Spec.of({"rounds": 3, "cohort": {"share": 1.0}, "method": {"name": "disue", "k": 2}, "network": {"clients": 3}})


def test_flower_builds_the_folder(tmp_path: Path) -> None:
    made = make(tmp_path / "My-wards", SPEC)
    environment = {**os.environ, **QUIET, "FLWR_HOME": str(tmp_path / "home")}
    flwr = Path(sys.executable).with_name("flwr")
    done = subprocess.run(
        [flwr, "build", "--app", tmp_path / "My-wards"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (fab,) = tmp_path.glob("disue.My-wards.1-0-0.*.fab")
    with zipfile.ZipFile(fab) as inside:
        assert {path.name for path in made} <= set(inside.namelist())
        spec = Spec.of(tomllib.loads(inside.read("spec.toml").decode()))
        assert hash_of(spec) == hash_of(checked(SPEC))
        project = tomllib.loads(inside.read("pyproject.toml").decode())
    assert project["project"]["dependencies"] == [f"disue[flower]=={__version__}"]
    assert project["tool"]["flwr"]["app"]["components"] == {
        "serverapp": f"{APP}:server",
        "clientapp": f"{APP}:client",
    }
    assert project["tool"]["flwr"]["app"]["config"] == {"out": "runs/My-wards"}


def test_the_module_of_the_folder_has_both_apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flwr.clientapp import ClientApp
    from flwr.serverapp import ServerApp

    make(tmp_path / "app", SPEC)
    monkeypatch.chdir(tmp_path)  # the spec is found beside the module, wherever Flower's process stands
    code = (tmp_path / "app" / f"{APP}.py").read_text()
    found: dict[str, object] = {"__file__": str(tmp_path / "app" / f"{APP}.py")}
    exec(code, found)
    assert isinstance(found["server"], ServerApp) and isinstance(found["client"], ClientApp)


@pytest.mark.parametrize("name", ["My wards", "9wards", "wards_of_three", "w" * 33])
def test_names_that_flower_does_not_take(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"Flower takes up to 32 letters, digits and hyphens"):
        make(tmp_path / name, SPEC)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    make(tmp_path / "app", SPEC)
    with pytest.raises(UserError, match=r"pyproject.toml exists: nothing is overwritten"):
        make(tmp_path / "app", SPEC)


def test_what_only_simulates_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cohort.dropout is simulated"):
        make(tmp_path / "app", Spec.of({"cohort": {"dropout": 0.1}}))
    assert not (tmp_path / "app").exists()
