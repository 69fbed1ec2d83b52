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


LIGHT = ("disue", "disue.core.rounds", "disue.runs.spec", "disue.methods", "disue.cli.main", "disue.runs.bring")
SITE = ("disue.flower.apps", "disue.flower.node", "disue.flower.protocol")  # a process of their own for every message


@pytest.mark.parametrize("module", [*LIGHT, *SITE])
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


UNUSED = ("matplotlib", "pandas", "rich", "scipy", "sklearn", "sympy", "tomlkit", "torch")


def test_help_loads_click_and_little_else() -> None:
    """It answers in a tenth of a second: neither numpy nor what draws on a terminal is loaded, nor any command."""
    done = python(CLI.format(words=["--help"], heavy=("numpy", *UNUSED, "disue.api", "disue.runs", "disue.cli.run")))
    assert done.returncode == 0, done.stderr
    assert loaded(done) == []


def test_help_says_of_every_command_what_it_does() -> None:
    from click import Context

    from disue.cli.main import TABLE, cli

    for name, (_, _, said) in TABLE.items():
        command = cli.get_command(Context(cli), name)
        assert command is not None and command.name == name and command.help
        assert said in cli.get_help(Context(cli, info_name="disue", max_content_width=110))


RUN = """
import sys
{before}
known = set(sys.modules)
import disue
disue.run(
    {{
        "rounds": 2,
        "partition": {{"clients": 12}},
        "cohort": {{"size": 8}},
        "local": {{"epochs": 1}},
        "engine": {{"backend": "{backend}", "workers": 1}},
    }}
)
print(*sorted(set(sys.modules) - known))
"""


@pytest.mark.parametrize("backend", ["lean", "loop", "stacked"])
def test_a_run_loads_no_more_of_torch_than_torch_itself_does(backend: str) -> None:
    """`torch.optim`, `torch._dynamo` and their kind take seconds; so do scipy, scikit-learn and matplotlib."""
    done = python(RUN.format(before="import torch", backend=backend))
    assert done.returncode == 0, done.stderr
    more = done.stdout.split()
    assert "disue.engine.engine" in more
    assert not [name for name in more if name.partition(".")[0] in UNUSED and not name.startswith("tomlkit")]


def test_a_run_loads_no_optimiser_and_no_compiler() -> None:
    done = python(RUN.format(before="", backend="lean"))
    names, plain = done.stdout.split(), python("import sys, torch; print(*sys.modules)").stdout.split()
    for name in ("torch.optim", "torch._dynamo", "torch._inductor", "torch.distributed", "torch.onnx"):
        ours = [one for one in names if one == name or one.startswith(name + ".")]
        assert set(ours) <= set(plain), name
