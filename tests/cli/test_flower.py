"""`disue flower`: sites, apps, a rehearsal, and what cannot be, in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from disue.runs.spec import Spec

Disue = Callable[..., Result]
SPEC = """\
rounds = 1
[partition]
clients = 3
alpha = 0.5
[cohort]
share = 1.0
[local]
epochs = 1
[method]
name = "fedavg"
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """As if Flower were not installed, or in another version."""
    real = metadata.version

    def call(version: str | None) -> None:
        def found(name: str) -> str:
            if name != "flwr":
                return real(name)
            if version is None:
                raise metadata.PackageNotFoundError(name)
            return version

        monkeypatch.setattr(metadata, "version", found)

    return call


def test_split_then_init_gives_an_app_of_the_sites_spec(disue: Disue, spec: Path, tmp_path: Path) -> None:
    found = disue("flower", "split", spec, tmp_path / "sites")
    assert (found.exit_code, found.stdout) == (0, f"3 sites, test.npz and spec.toml in {tmp_path / 'sites'}\n")
    shared = Spec.read(tmp_path / "sites" / "spec.toml")
    assert shared.data.classes == 10 and len(shared.data.mean) == len(shared.data.std) == 1
    done = disue("flower", "init", tmp_path / "app", "--spec", tmp_path / "sites" / "spec.toml", "--set", "rounds=2")
    assert done.exit_code == 0 and Path(done.stdout.split()[0]).exists()
    assert Spec.read(tmp_path / "app" / "spec.toml").rounds == 2


def test_split_of_some_clients(disue: Disue, spec: Path, tmp_path: Path) -> None:
    assert disue("flower", "split", spec, tmp_path / "some", "--only", "2", "--only", "0").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "some").glob("site-*")) == ["site-0.npz", "site-2.npz"]
    assert disue("flower", "split", spec, tmp_path / "all").exit_code == 0
    with np.load(tmp_path / "some" / "site-2.npz") as one, np.load(tmp_path / "all" / "site-2.npz") as two:
        assert all(np.array_equal(one[name], two[name]) for name in two)
    refused = disue("flower", "split", spec, tmp_path / "none", "--only", "3")
    assert (refused.exit_code, refused.stderr) == (2, "client 3 is none of 0, 1, 2\n")
    assert not (tmp_path / "none").exists()


def test_rehearse_plays_the_run(disue: Disue, spec: Path, tmp_path: Path) -> None:
    found = disue("flower", "rehearse", spec, "--out", tmp_path / "run")
    assert found.exit_code == 0, found.output
    assert found.stdout.rstrip().endswith(str(tmp_path / "run" / "report.html"))


# -- what cannot be --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (None, 'is not installed: pip install "disue[flower]"'),
        ("1.40.2", "Flower 1.40.2 is installed, and disue takes 1.41 up to below 1.42"),
        ("1.42.0", "Flower 1.42.0 is installed"),
        ("0.19.0", "Flower 0.19.0 is installed"),
    ],
)
def test_flower_is_asked_for_first(
    disue: Disue, spec: Path, tmp_path: Path, without: Callable[[str | None], None], version: str | None, said: str
) -> None:
    without(version)
    for words in (["demo", "--out", tmp_path / "x"], ["init", tmp_path / "x", "--spec", spec]):
        found = disue("flower", *words)
        assert found.exit_code == 2 and said in found.stderr and found.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()
    assert said in disue("doctor", "--data-dir", tmp_path).stdout


def test_doctor_says_flowers_version(disue: Disue, tmp_path: Path) -> None:
    assert f"Flower            {metadata.version('flwr')}" in disue("doctor", "--data-dir", tmp_path).stdout


def test_what_cannot_be_is_one_sentence(disue: Disue, spec: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "pyproject.toml").touch()
    for words, said in (
        (["init", tmp_path / "app", "--spec", tmp_path / "none.toml"], "none.toml: cannot be read"),
        (["init", tmp_path / "full", "--spec", spec], "nothing is overwritten; give another folder"),
        (["init", spec / "app", "--spec", spec], "cannot be written"),
        (["init", tmp_path / "app", "--spec", spec, "--set", "cohort.dropout=0.5"], "cohort.dropout is simulated"),
        (["init", tmp_path / "app", "--spec", spec, "--set", "network.clint=3"], 'Did you mean "clients"?'),
        (["split", tmp_path / "none.toml", tmp_path / "sites"], "none.toml: cannot be read"),
        (["demo", "--out", tmp_path / "full"], "full exists: nothing is overwritten; give another folder"),
    ):
        found = disue("flower", *words)
        assert found.exit_code == 2 and said in found.stderr and found.stderr.count("\n") == 1, found.output
    assert not (tmp_path / "app").exists()


def test_a_second_split_overwrites_nothing(disue: Disue, spec: Path, tmp_path: Path) -> None:
    assert disue("flower", "split", spec, tmp_path / "sites").exit_code == 0
    again = disue("flower", "split", spec, tmp_path / "sites")
    assert again.exit_code == 2 and "are not overwritten" in again.stderr
