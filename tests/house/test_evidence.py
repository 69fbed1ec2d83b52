"""`make evidence` counts what is there: marks by a static scan, comparisons by the lines of the pages."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parents[2]
TESTS = '''
import pytest


@pytest.mark.hand("fedavg", "fedprox")
@pytest.mark.parametrize("n", [1, 2])
def test_one(n):
    pass


@pytest.mark.hand("cfl")
class TestTwo:
    def test_inside(self):
        pass

    @pytest.mark.hand("ifca")
    def test_also(self):
        pass

    def helper(self):
        pass


@pytest.mark.hand("fedavgg")
def test_mistyped():
    pass


def test_plain():
    """@pytest.mark.hand("moon") in a text is no mark."""
'''


@pytest.fixture(scope="module")
def evidence() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evidence", HERE / "docs" / "evidence.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["evidence"] = module
    spec.loader.exec_module(module)
    return module


def test_marks_and_lines_are_counted(evidence: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "tests" / "methods").mkdir(parents=True)
    (tmp_path / "docs" / "methods").mkdir(parents=True)
    (tmp_path / "tests" / "methods" / "test_them.py").write_text(TESTS)
    (tmp_path / "docs" / "methods" / "fedavg.md").write_text(
        "# FedAvg\n\nHand test: `tests/methods/test_them.py::test_one` and `tests/methods/test_them.py::test_gone`.\n"
        "Reference comparison: a/b@1 mean, 3e-9\n"
    )
    (tmp_path / "docs" / "methods" / "moon.md").write_text("Reference comparison: none, nothing runs here\n")
    (tmp_path / "docs" / "methods" / "fedwhat.md").write_text("# ?\n")
    (tmp_path / "docs" / "methods" / "README.md").write_text("# Methods\n")
    found, strange = evidence.collected(tmp_path)
    hand = {name: one.hand for name, one in found.items() if one.hand}
    file = "tests/methods/test_them.py"
    assert hand == {
        "fedavg": [f"{file}::test_one"],
        "fedprox": [f"{file}::test_one"],
        "cfl": [f"{file}::TestTwo::test_inside", f"{file}::TestTwo::test_also"],
        "ifca": [f"{file}::TestTwo::test_also"],
    }
    assert {name: one.beside for name, one in found.items() if one.beside} == {"fedavg": ["a/b@1 mean, 3e-9"]}
    assert len(strange) == 3 and '"fedavgg"' in strange[0] and "test_gone" in strange[1] and "fedwhat.md" in strange[2]
    text = evidence.table(found)
    assert "4 with numbers worked out by hand" in text and "1 compared with other code" in text


def test_every_mark_and_page_here_is_of_a_method(evidence: ModuleType) -> None:
    found, strange = evidence.collected()
    assert strange == []
    assert found["fedprox"].hand and found["fedprox"].identities


def test_the_mark_is_known_to_pytest() -> None:
    assert '"hand(method, …)' in (HERE / "pyproject.toml").read_text()
