"""docs/deploy.md: every command is one that its tool takes, its files are what they are said to be.

`make deploy-test` runs all of them.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from disue.runs.spec import Network, Spec

HERE = Path(__file__).parents[2]
PAGE = HERE / "docs" / "deploy.md"
GROUPS = {"flwr": ("supernode",), "disue": ("flower", "keys")}
TOOLS = ("flwr", "flower-superlink", "flower-supernode", "disue")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = HERE / "docs" / "deploy_commands.py"
    made = importlib.util.spec_from_file_location("deploy_commands", path)
    assert made is not None and made.loader is not None
    module = importlib.util.module_from_spec(made)
    sys.modules["deploy_commands"] = module
    made.loader.exec_module(module)
    return module


def blocks(text: str) -> list[str]:
    """Code blocks without a language, and indented ones: commands."""
    return [*re.findall(r"^```\n(.*?)^```$", text, re.S | re.M), *re.findall(r"(?:^    .*\n)+", text, re.M)]


def lines(text: str) -> list[list[str]]:
    """The words of every command of a tool that is checked here."""
    joined = [line.strip() for block in blocks(text) for line in block.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line) for line in joined if line.split(" ")[0] in TOOLS]
    return [[word for word in found if word != "&"] for found in words]


@cache
def help_of(*words: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name(words[0]), *words[1:], "--help"],
        capture_output=True,
        text=True,
        timeout=120,
        env={"COLUMNS": "200", "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "PATH": ""},
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def readme_of_an_app(folder: Path) -> str:
    from disue.flower.folder import make

    make(folder, Spec.of({}))
    return (folder / "README.md").read_text()


def test_options_are_those_of_the_tools(tmp_path: Path) -> None:
    """Of the page, and of the README that `disue flower init` writes."""
    pytest.importorskip("flwr")
    pytest.importorskip("cryptography")
    found = [*lines(PAGE.read_text()), *lines(readme_of_an_app(tmp_path / "app"))]
    assert {words[0] for words in found} == set(TOOLS)
    for words in found:
        depth = 1 if words[0].startswith("flower-") else 3 if words[1] in GROUPS.get(words[0], ()) else 2
        if words[0] == "disue":  # in this process, so that the checkout's own commands are asked
            said = of_disue(words[1:depth])
        else:
            said = help_of(*words[:depth])
        for word in words[depth:]:
            if word.startswith("-"):
                assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", said), f"{' '.join(words)}: {word}"


def of_disue(words: list[str]) -> str:
    from click.testing import CliRunner

    from disue.cli.main import cli

    done = CliRunner().invoke(cli, [*words, "--help"])
    assert done.exit_code == 0, f"{words}: {done.output}"
    return done.output


def test_every_command_of_the_walk_is_run(script: ModuleType) -> None:
    """From section 2 on a block of commands has a mark before it, and sites' blocks are run for all of them."""
    page = PAGE.read_text().split("## 2.")[1]
    assert page.count("\n```\n") == page.count("```toml") + page.count("```python") + 2 * page.count("<!-- run: ")
    steps = list(script.steps(PAGE.read_text()))
    assert len({step.to for step in steps if step.what == "run"} & {"ward-1", "ward-2", "ward-3"}) == 3
    nodes = [step.text for step in steps if "flower-supernode --superlink" in step.text]
    assert [re.findall(r'client="([\w-]+)"', text) for text in nodes] == [["ward-1"], ["ward-2"], ["ward-3"]]
    assert all(site * 3 not in text for text, site in zip(nodes, ("ward-1", "ward-2", "ward-3"), strict=True))


def test_files_of_the_walk_are_what_they_are_said_to_be(script: ModuleType) -> None:
    from disue.flower.serve import checked

    files = {step.to: tomllib.loads(step.text) for step in script.steps(PAGE.read_text()) if step.what == "file"}
    specs = {name: checked(Spec.of(found)) for name, found in files.items() if not name.endswith("config.toml")}
    assert {spec.network.clients for spec in specs.values()} == {2, 3}
    connections = [name for found in files.values() for name in found.get("superlink", {})]
    assert sorted(connections) == ["default", "here", "wards"]


def test_the_keys_of_the_network_are_all_explained() -> None:
    page = PAGE.read_text()
    table = page.split("**`[network]`**")[1].split("\n\n")[1]
    named = set(re.findall(r"`(\w+)`", "\n".join(row.split("|")[1] for row in table.splitlines())))
    assert named == set(Network.__dataclass_fields__)


def test_keys_of_a_node_are_all_named() -> None:
    from disue.flower.site import KEYS

    page = PAGE.read_text()
    said = page.split("Its keys:")[1].split(".\n")[0]
    assert tuple(re.findall(r"`(\w+)`", said)) == KEYS


def test_the_function_of_the_page_gives_a_sites_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from disue.flower.site import Site

    (code,) = re.findall(r"```python\n(.*?)^```$", PAGE.read_text(), re.S | re.M)
    (tmp_path / "ward_data.py").write_text(code)
    rows = np.column_stack([np.arange(30).reshape(10, 3), np.arange(10) % 2])
    np.savetxt(tmp_path / "ward.csv", rows, delimiter=",", header="a,b,c,label")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    found = Site.of({"client": "ward-3", "data": "ward_data:load"}).arrays()
    assert found["x_train"].shape == (8, 3) and found["x_test"].shape == (2, 3)
    assert found["y_train"].tolist() == [1, 0, 1, 0, 0, 1, 0, 1]


@pytest.mark.slow
def test_all_commands_run(tmp_path: Path) -> None:
    """Two real networks, one after the other, some four minutes."""
    done = subprocess.run(
        [sys.executable, HERE / "docs" / "deploy_commands.py", tmp_path / "out"],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.rstrip().endswith("both runs are complete")
