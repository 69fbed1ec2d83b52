"""A runner, and commands in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from disue.cli.main import cli

SPEC = """\
rounds = 2
[data]
name = "digits"
[partition]
clients = 10
alpha = 0.5
[cohort]
share = 0.5
[local]
epochs = 1
[method]
name = "disue"
k = 2
"""


@pytest.fixture
def disue() -> Callable[..., Result]:
    """`disue("list", "models")`: the command in this process."""

    def call(*words: str | Path) -> Result:
        return CliRunner().invoke(cli, [str(word) for word in words])

    return call


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SPEC)
    return path


def fresh(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own."""
    source = str(Path(__file__).parents[2] / "src")
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH", ""))))
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def process(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    return lambda code: fresh(code, tmp_path)
