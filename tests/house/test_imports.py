"""What answers before torch is imported: help, lists and a mistyped key; and which rooms never load it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "sklearn", "matplotlib")
CLI = """
import sys
sys.argv = ["disue", *{words!r}]
from disue.cli.main import entry
try:
    code = entry()
except SystemExit as left:
    code = left.code
print("LOADED", *[name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
sys.exit(code or 0)
"""


def python(code: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=cwd)


def loaded(done: subprocess.CompletedProcess[str]) -> list[str]:
    line = next(line for line in done.stderr.splitlines() if line.startswith("LOADED"))
    return line.split()[1:]


@pytest.mark.parametrize("module", ["disue", "disue.core.rounds", "disue.runs.spec", "disue.methods", "disue.cli.main"])
def test_torch_is_not_loaded_by(module: str) -> None:
    done = python(f"import sys, {module}; print([n for n in {HEAVY!r} if n in sys.modules])")
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.stdout and "matplotlib" not in done.stdout


@pytest.mark.parametrize(
    "words",
    [["--help"], ["run", "--help"], ["--version"], *(["list", what] for what in ("methods", "datasets", "models"))],
    ids=" ".join,
)
def test_words_are_answered_before_torch(words: list[str]) -> None:
    done = python(CLI.format(words=words, heavy=("torch", "matplotlib")))
    assert done.returncode == 0, done.stderr
    assert loaded(done) == []


def test_a_mistyped_key_is_answered_before_torch(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text("[local]\nepohcs = 3\n")
    done = python(CLI.format(words=["run", "spec.toml"], heavy=("torch", "matplotlib")), cwd=tmp_path)
    assert done.returncode == 2
    assert "epohcs" in done.stderr and "epochs" in done.stderr and "Traceback" not in done.stderr
    assert loaded(done) == []


def test_checking_every_experiment_loads_no_torch() -> None:
    """A study or spec is checked, method and parts built, without the libraries that take seconds to load."""
    folder = Path(__file__).parents[2] / "experiments"
    code = f"""
import sys, tomllib
from pathlib import Path
from disue.runs.spec import Spec
for path in sorted(Path({str(folder)!r}).glob("*.toml")):
    if "study" not in tomllib.loads(path.read_text()):
        Spec.read(path)
print("torch" in sys.modules)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"


def test_one_round_loads_no_torch_compiler() -> None:
    """`torch._dynamo` takes seconds more; building a torch optimiser would load it."""
    done = python(
        "import sys, disue\n"
        "disue.run({'rounds': 1, 'partition': {'clients': 5}, 'cohort': {'share': 0.4}, 'local': {'epochs': 1}})\n"
        "print('torch' in sys.modules, *(name for name in "
        "('torch._dynamo', 'matplotlib', 'scipy.optimize', 'sklearn') if name in sys.modules))"
    )
    assert done.stdout.split() == ["True"], done.stderr
