"""CONTRIBUTING.md and docs/add-a-method.md are exact: their steps are carried out in a copy of the package and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
PAGE = (HERE / "CONTRIBUTING.md").read_text() + (HERE / "docs" / "add-a-method.md").read_text()

USE = """
import numpy as np
import disue
from disue.data import load

base = {"rounds": 2, "partition": {"clients": 10}, "cohort": {"share": 0.5}, "local": {"epochs": 1}}

done = disue.run({**base, "method": {"name": "by-size", "k": 3}}, out="by-size", report=False)
assert done["complete"] and len(disue.load("by-size").groups) == 3

pulled = {**base, "local": {"epochs": 1, "mu": 1.0}, "method": {"name": "fedavg", "local": {"kind": "pull"}}}
assert disue.run(pulled)["metrics"] != disue.run({**base, "method": {"name": "fedavg"}})["metrics"]
still = {**base, "local": {"epochs": 1, "mu": 0.0}, "method": {"name": "fedavg", "local": {"kind": "pull"}}}
assert disue.run(still)["metrics"] == disue.run({**base, "method": {"name": "fedavg"}})["metrics"]

rng = np.random.default_rng(0)
for name, rows in (("pendigits.tra", 200), ("pendigits.tes", 60)):
    table = np.column_stack([rng.integers(0, 100, (rows, 16)), np.arange(rows) % 10])
    np.savetxt(name, table, fmt="%d", delimiter=",")
found = load("pendigits", data_dir=".")
assert (found.sizes, found.shape, found.kind, found.variant) == ((200, 60), (16,), "vector", "official")
assert disue.run({**base, "data": {"name": "pendigits"}}, data_dir=".")["complete"]
"""


def blocks() -> list[tuple[str, str]]:
    """(file, code) of every python block that names its file in the first line."""
    out = []
    for found in re.finditer(r"^( *)```python\n(.*?)^ *```", PAGE, re.S | re.M):
        code = textwrap.dedent(found[2])
        first, _, rest = code.partition("\n")
        assert first.startswith(("# src/disue/", "# tests/")), f"a block without its file's name: {first}"
        out.append((first[2:], rest))
    return out


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of src with the steps of the page carried out."""
    root = tmp_path_factory.mktemp("contributing")
    for folder in ("src", "tests"):
        shutil.copytree(HERE / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    commands = re.findall(r"^ *(cp src/.*)$", PAGE, re.M)
    assert len(commands) == 1
    _, source, target = commands[0].split()
    shutil.copy(root / source, root / target)
    for file, code in blocks():
        path = root / file
        path.write_text((path.read_text() + "\n\n" + code) if path.exists() else code)
    kinds = root / "src/disue/parts/local/__init__.py"
    kinds.write_text(
        kinds.read_text() + '\nfrom disue.parts.local.pull import Pull\n\nKINDS = {**KINDS, "pull": Pull}\n'
    )
    return root


def test_the_steps_of_contributing_work(package: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(package / "src")}
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=package, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_method_of_the_page_is_short_and_passes_its_own_tests(package: Path) -> None:
    lines = (package / "src/disue/methods/fedmedian.py").read_text().strip().splitlines()
    assert len(lines) < 40
    environment = {**os.environ, "PYTHONPATH": f"{package / 'src'}{os.pathsep}{package / 'tests'}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/methods/test_fedmedian.py"]
    done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout[-3000:]


def test_the_template_groups_by_size_and_is_in_no_table() -> None:
    """Sizes 5, 50, 7, 60 for ids that are no positions: {902, 17} are small, {4001, 3} large."""
    import numpy as np

    from disue.core.world import Census
    from disue.methods import TABLE
    from disue.methods._template import BySize, by_size

    class World:
        census = Census(np.array([902, 4001, 17, 3]), np.array([5, 50, 7, 60]), 10)

    made = BySize(2).init(World())  # type: ignore[arg-type]
    assert [made.groups.members(g).tolist() for g in made.groups.numbers] == [[17, 902], [3, 4001]]
    assert all(row.build is not by_size for row in TABLE.values())
