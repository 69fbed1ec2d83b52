"""docs/spec.md: every key has a meaning, the page is what the code says, its example is a spec."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from disue.cli import reference
from disue.cli.listing import LISTS, Entry
from disue.cli.probe import allowed, written
from disue.core.errors import UserError
from disue.runs.keys import Known, fields_of
from disue.runs.spec import TABLES, TOP, Spec, assignment
from disue.study.keys import COMPARISON, ROW, SCALE, STUDY, TUNE

PAGE = Path(__file__).parents[2] / "docs" / "spec.md"


def everything() -> list[tuple[str, Known]]:
    out = [(entry.name, known) for make, _ in LISTS.values() for entry in make() for known in entry.keys.values()]
    out += [(name, known) for name, table in TABLES.items() for known in fields_of(table).values()]
    out += [("", known) for known in TOP.values()]
    return out + [("study", known) for table in (STUDY, TUNE, ROW, COMPARISON, SCALE) for known in table.values()]


def test_every_key_has_a_meaning() -> None:
    assert [f"{where}.{known.name}" for where, known in everything() if not known.doc] == []


def test_every_key_takes_something_that_can_be_said() -> None:
    assert [f"{where}.{known.name}" for where, known in everything() if "class" in known.allowed()] == []


@pytest.mark.parametrize("what", LISTS)
def test_every_name_has_a_summary(what: str) -> None:
    assert [entry.name for entry in LISTS[what][0]() if not entry.summary] == []


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.page(), "run: python -m disue.cli.reference"


def test_the_example_and_the_overrides_of_the_page_are_a_spec() -> None:
    overrides = dict(
        assignment(text) for text in re.findall(r"--set ([a-z._]+=[\w.]+)", reference.INTRO) if "key" not in text
    )
    assert overrides
    Spec.of(tomllib.loads(reference.EXAMPLE))
    Spec.of(tomllib.loads(reference.EXAMPLE), overrides)


def test_check_fails_where_the_file_is_stale(tmp_path: Path) -> None:
    call: Callable[..., int] = lambda *words: CliRunner().invoke(reference.reference, list(words)).exit_code  # noqa: E731
    to = str(tmp_path / "spec.md")
    assert call("--check", "--to", to) == 1
    assert call("--to", to) == 0
    assert call("--check", "--to", to) == 0
    with open(to, "a", encoding="utf-8") as file:
        file.write("x")
    assert call("--check", "--to", to) == 1


# -- the probe ---------------------------------------------------------------------------------------------


def part(rate: float = 0.1, word: str = "a", times: int = 3, either: float | str = 1.0, free: str = "") -> None:
    if not 0 < rate <= 1:
        raise UserError(f"part.rate must lie in (0, 1], got {rate}")
    if word not in ("a", "b"):
        raise UserError(f'part.word: unknown name "{word}". Known: a, b.')
    if times < 1:
        raise UserError(f"part.times must be an integer ≥ 1, got {times}")
    if isinstance(either, str) and either != "match":
        raise UserError(f'part.either: unknown name "{either}". Known: match.')
    if not isinstance(either, str) and either <= 0:
        raise UserError(f"part.either must be > 0, got {either}")


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("rate", float, "number in (0, 1]"),
        ("word", str, '"a" | "b"'),
        ("times", int, "integer ≥ 1"),
        ("either", float | str, 'number > 0 or "match"'),
        ("free", str, "text"),
    ],
)
def test_what_a_key_takes_is_read_off_the_refusals(name: str, kind: type, said: str) -> None:
    assert allowed(Known(name, kind, None), part) == said


def test_what_stands_in_the_page_is_refused_by_the_code_that_it_describes() -> None:
    """The control: `allowed` of a key without a rule says its type only."""
    assert allowed(Known("free", str, "")) == "text"
    assert Entry("x", "y", {}).make is None


def test_defaults_as_a_spec_writes_them() -> None:
    values = (None, "", (), True, "a", (64, 64), 0.5, 3)
    assert [written(Known("", object, v)) for v in values] == ["–", "–", "–", "true", '"a"', "[64, 64]", "0.5", "3"]
