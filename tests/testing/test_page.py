"""docs/conformance.md is exact: its method conforms, its test runs, its checks are all there are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from disue.testing import CHECKS

HERE = Path(__file__).parents[2]
PAGE = (HERE / "docs" / "conformance.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    """Both files of the page, as a reader writes them."""
    for block in BLOCKS[:2]:
        (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block)
    return tmp_path


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE / "src"), str(folder)])}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def test_the_test_of_the_page_runs(folder: Path) -> None:
    done = python(
        folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "lean and (places or rest or toml)", "."
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "3 passed" in done.stdout


def test_the_sentence_of_the_page_is_what_is_said(folder: Path) -> None:
    file = folder / "my_method.py"
    text = file.read_text()
    assert "world.census.ids.tolist()" in text
    file.write_text(text.replace("world.census.ids.tolist()", "range(world.census.ids.size)"))
    code = "from disue.testing import run; from my_method import above_median; print(run(above_median, **given))"
    done = python(folder, "-c", f"given = dict(backends=['lean'], only=['partition']); {code}")
    (said,) = re.findall(r"^above-median-lean-partition: .*$", PAGE, re.M)
    assert said in done.stdout, done.stdout + done.stderr


def test_the_other_block_is_python() -> None:
    assert len(BLOCKS) == 3
    compile(BLOCKS[2], "page", "exec")


def test_every_check_is_on_the_page() -> None:
    listed = re.findall(r"`([\w-]+)`", "\n".join(re.findall(r"^\| (`[^|]*) \|", PAGE.split("## The checks")[1], re.M)))
    assert listed == list(CHECKS)
