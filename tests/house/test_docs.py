"""README and docs: snippets run, links lead somewhere, generated parts are fresh, no page names a machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from disue.methods import TABLE
from disue.runs.spec import Spec

HERE = Path(__file__).parents[2]
README = (HERE / "README.md").read_text()
PAGES = [*sorted(HERE.glob("*.md")), *sorted((HERE / "docs").rglob("*.md"))]
GROUPS = ("data", "flower", "keys")  # commands of `disue` that have commands of their own
COMING = {"docs/faults.md"}  # pages that are linked before they are written


def snippets(text: str, language: str) -> list[str]:
    """The fenced blocks of a language; "" for those without one."""
    out: list[str] = []
    inside: tuple[str, list[str]] | None = None
    for line in text.splitlines():
        if not line.startswith("```"):
            if inside is not None:
                inside[1].append(line)
        elif inside is None:
            inside = line[3:].strip(), []
        else:
            if inside[0] == language:
                out.append("\n".join(inside[1]) + "\n")
            inside = None
    return out


@pytest.fixture()
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the checkout to a snippet, with small arrays under the README's names."""
    (tmp_path / "experiments").symlink_to(HERE / "experiments")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python(code: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_snippets_of_the_readme_run(checkout: Path) -> None:
    """In order, in one process, as a reader types them; the first needs arrays of the reader's own."""
    arrays = """
import numpy as np
rng = np.random.default_rng(0)
y_train, y_test = np.arange(400) % 4, np.arange(100) % 4
x_train, x_test = (np.eye(4)[y].repeat(3, 1) + rng.normal(0, 0.4, (len(y), 12)) for y in (y_train, y_test))
"""
    found = snippets(README, "python")
    assert len(found) == 2
    assert max(len(code.strip().splitlines()) for code in found) <= 6
    said = python(arrays + "\n".join(found), checkout).splitlines()
    assert said[:3] == ["0", "1", "2"] and len(said[-1].split()) == 2
    for run in ("mine", "first"):
        assert (checkout / "runs" / run / "summary.json").exists()
    page = (HERE / "docs" / "data.md").read_text()
    for code in snippets(page, "python"):
        python(code, checkout)
    assert np.load(checkout / "mine.npz")["x_train"].shape == (400, 12)


def test_the_spec_of_the_readme_is_one() -> None:
    (toml,) = snippets(README, "toml")
    spec = Spec.of(tomllib.loads(toml))
    assert spec.method["name"] == "disue" and spec.rounds == 60


@pytest.mark.parametrize("path", sorted((HERE / "experiments").glob("*.toml")), ids=lambda path: path.name)
def test_experiments_are_specs_or_studies(path: Path) -> None:
    if "study" in tomllib.loads(path.read_text()):
        from disue.study.plan import Study

        assert Study.read(path).rows
    else:
        spec = Spec.read(path)
        assert Spec.of(tomllib.loads(spec.toml())).tables() == spec.tables()


def test_the_two_cifar_specs_are_twins() -> None:
    one, two = (Spec.read(HERE / "experiments" / f"cifar10_{name}.toml").tables() for name in ("dir01", "dir001"))
    assert (one["partition"].pop("alpha"), two["partition"].pop("alpha")) == (0.1, 0.01)
    assert one == two


def test_commands_of_the_pages_parse() -> None:
    """Every `disue …` line in a code block names a command that there is, with options that it has."""
    lines = [
        line.strip()
        for page in PAGES
        for block in snippets(page.read_text(), "")
        for line in block.splitlines()
        if re.match(r"\s*disue \w", line)
    ]
    assert lines
    for line in lines:
        words = line.split()
        named = words[1:3] if words[1] in GROUPS else words[1:2]
        helped = subprocess.run(
            [sys.executable, "-m", "disue", *named, "--help"], capture_output=True, text=True, timeout=120
        )
        assert helped.returncode == 0, f"{line}: {helped.stderr}"
        for option in (word for word in words if word.startswith("--")):
            assert option in helped.stdout, f"{line}: {option}"


def test_generated_parts_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "docs" / "generate.py"), "--check"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    listed = re.findall(r"^\| `([\w-]+)` \|", README, re.M)
    assert listed == list(TABLE)


def test_links_lead_somewhere() -> None:
    missing = set()
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if re.match(r"[a-z]+://", target):
                continue
            if not (page.parent / target).exists():
                missing.add(os.path.relpath((page.parent / target).resolve(), HERE))
    assert missing <= COMING, f"dead links: {sorted(missing - COMING)}"
    if missing:
        pytest.skip(f"still to come: {', '.join(sorted(missing))}")


def test_names_of_metrics_in_the_docs_exist() -> None:
    """docs/data.md names metrics in backticks; a run with groups, an expert and newcomers has them."""
    import disue

    page = (HERE / "docs" / "data.md").read_text().split("## 4. Evaluation")[1].split("## 5.")[0]
    named = set(re.findall(r"`((?:served|average|expert|group|own|majority|newcomer)_\w+)`", page))
    spec = {
        "rounds": 2,
        "partition": {"kind": "permuted-labels", "clients": 12, "groups": 2},
        "cohort": {"share": 0.5, "newcomers": 0.2},
        "local": {"epochs": 1, "clip": 10.0},
        "method": {"name": "disue", "k": 2},
    }
    metrics = disue.run(spec)["metrics"]
    assert named and named <= set(metrics), named - set(metrics)
    assert {"ari", "ami", "group_local_p10", "group_local_worst", "newcomer_0_average"} <= set(metrics)


def test_no_page_names_a_machine() -> None:
    """Docs are for any machine: no absolute paths of one."""
    files = [*PAGES, *(HERE / "examples").glob("*.py"), *(HERE / "experiments").glob("*.toml"), HERE / "Makefile"]
    for path in [*files, HERE / ".ci" / "run", HERE / "pyproject.toml", HERE / "constraints.txt"]:
        assert not re.search(r"(?<![\w.])/(home|work|root|Users|mnt|tmp)/", path.read_text()), path


def test_version_and_pins_agree() -> None:
    """One version, and a pin for every direct dependency that satisfies the package's own range."""
    from packaging.requirements import Requirement
    from packaging.version import Version

    import disue

    assert f"version: {disue.__version__}\n" in (HERE / "CITATION.cff").read_text()
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    pins = dict(
        line.split("==") for line in (HERE / "constraints.txt").read_text().splitlines() if line and line[0] != "#"
    )
    needed = [Requirement(text) for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]]
    extras = project["optional-dependencies"]
    further = {Requirement(text).name for name in set(extras) - {"dev"} for text in extras[name]}  # pinned where tried
    held = {"packaging"}  # back by Flower, which needs it itself
    assert {one.name for one in needed} <= set(pins) <= {one.name for one in needed} | further | held
    for one in needed:
        assert one.specifier.contains(Version(pins[one.name])), one
