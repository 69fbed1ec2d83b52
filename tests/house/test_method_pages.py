"""docs/methods: every method has a page, the tests that it names exist, a comparison says where it came from."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from disue.methods import TABLE

HERE = Path(__file__).parents[2]
FILES = sorted((HERE / "docs" / "methods").glob("*.md"))
PAGES = {page.stem: page.read_text() for page in FILES if page.stem != "README"}


def _by_hand() -> dict[str, list[str]]:
    """Method → tests that are marked as by hand for it, as `make evidence` counts them."""
    spec = importlib.util.spec_from_file_location("evidence", HERE / "docs" / "evidence.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["evidence"] = module  # where a dataclass looks for it
    spec.loader.exec_module(module)
    return {name: found.hand for name, found in module.collected()[0].items()}


BY_HAND = _by_hand()


def test_every_method_has_a_page_or_is_a_variant_on_one() -> None:
    variants = {name for text in PAGES.values() for name in re.findall(r"`([\w-]+)`", _paragraph(text, "Variants: "))}
    assert set(PAGES) <= set(TABLE), f"pages of no method: {sorted(set(PAGES) - set(TABLE))}"
    assert variants.isdisjoint(PAGES)
    missing = [name for name in TABLE if name not in PAGES and name not in variants]
    assert not missing, f"write docs/methods/NAME.md for {', '.join(missing)}"


@pytest.mark.parametrize("name", PAGES)
def test_the_tests_that_a_page_names_exist(name: str) -> None:
    text = PAGES[name]
    assert text.startswith("# ") and f"\n`{name}`: " in text
    named = re.findall(r"`(tests/[\w/]+\.py::\w+)`", _paragraph(text, "Hand test: "))
    assert set(named) & set(BY_HAND[name]), f"the line `Hand test: ` names none that is marked as by hand for {name}"
    for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert re.search(rf"^def {test}\(", (HERE / file).read_text(), re.M), f"{file} has no {test}"
    for file in re.findall(r"`((?:src|tests)/[\w/]+\.py)`", text):
        assert (HERE / file).exists(), file


@pytest.mark.parametrize("name", PAGES)
def test_a_comparison_names_commit_script_and_figure(name: str) -> None:
    """The line that the table reads agrees with what the script printed, which stands below it."""
    text = PAGES[name]
    said = re.findall(r"^Reference comparison: (.*)$", text, re.M)
    if not said:
        assert re.search(r"[Nn]o code|does not run", text), "a page without a comparison says why"
        return
    assert len(said) == 1
    figure = r"(0|\d\.\de-\d\d)(?: \([^()]+\))?"
    found = re.fullmatch(rf"([\w.-]+/[\w.-]+@[0-9a-f]{{7}}), largest difference {figure}\.", said[0])
    assert found, said[0]
    (script,) = re.findall(r"^python (tests/reference/\w+\.py) ", text, re.M)
    assert (HERE / script).exists()
    printed = [line for line in text.splitlines() if line.startswith(f"{name}: reference {found[1]} ")]
    assert any(re.search(rf" {re.escape(found[2])}(;|$)", line) for line in printed), f"{found[2]} was not printed"


def _paragraph(text: str, begin: str) -> str:
    """The paragraph that starts with these words; "" where there is none."""
    found = re.search(rf"^{begin}(.*?)(?:\n\n|\Z)", text, re.M | re.S)
    return found[1] if found else ""
