"""Whatever needs no training answers before torch is imported."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Process = Callable[[str], subprocess.CompletedProcess[str]]

CODE = """
import sys
from disue.cli.main import entry
sys.argv = ["disue", *{words!r}]
try:
    entry()
except SystemExit as end:
    print("torch" in sys.modules, end.code)
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--help",), 0),
        (("--version",), 0),
        (("list", "methods"), 0),
        (("list", "parts", "--keys"), 0),
        (("list", "models", "--keys"), 0),
        (("list", "partitions", "--keys"), 0),
        (("list", "datasets"), 0),
        (("data", "info", "digits"), 0),
        (("run", "bad.toml"), 2),
        (("run", "bad.toml", "--set", "local.epochs=3"), 2),
    ],
)
def test_torch_stays_out(words: tuple[str, ...], code: int, process: Process, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('[method]\nname = "disue"\n[method.expert]\nfamliy = "moments"\n')
    found = process(CODE.format(words=list(words)))
    assert found.stdout.splitlines()[-1] == f"False {code}", found.stdout + found.stderr


def test_the_test_would_see_torch(process: Process) -> None:
    found = process("import torch" + CODE.format(words=["--version"]))
    assert found.stdout.splitlines()[-1] == "True 0"


def test_python_m(process: Process) -> None:
    found = process(
        "import runpy, sys; sys.argv = ['disue', '--version']; runpy.run_module('disue', run_name='__main__')"
    )
    assert found.returncode == 0
    assert found.stdout.startswith("disue, version ")
