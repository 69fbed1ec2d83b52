"""What holds each method up, counted from the tests and the pages themselves: `make evidence`.

by hand   tests marked `@pytest.mark.hand("NAME", …)`: numbers worked out on paper for two or three clients
beside    a line "Reference comparison: …" on docs/methods/NAME.md: one round against a public implementation

Nothing is run: files are read. With --tests it lists what it counted. With --check it fails where a mark or a page
names no method of `disue list methods`, and where a page names a test that is not there.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from disue.methods import TABLE
from disue.testing.identities import TABLE as IDENTITIES

HERE = Path(__file__).parents[1]
BESIDE = "Reference comparison: "
NONE = "none"  # how a page says that no implementation could be run


@dataclass
class Evidence:
    """Of one method: tests as file::test, lines of its page, claims of identity in the conformance suite."""

    hand: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    identities: int = 0


def marks(path: Path) -> Iterator[tuple[str, str]]:
    """(method, test) of every mark in a file of tests; a mark of a class is one of each of its tests."""
    stack: list[tuple[ast.AST, str, list[str]]] = [(ast.parse(path.read_text()), "", [])]
    while stack:
        node, where, above = stack.pop()
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.FunctionDef | ast.ClassDef):
                continue
            found = above + [name for one in child.decorator_list for name in named(one)]
            at = f"{where}::{child.name}"
            if isinstance(child, ast.ClassDef):
                stack.append((child, at, found))
            elif child.name.startswith("test"):
                yield from ((name, at) for name in found)


def named(decorator: ast.expr) -> list[str]:
    """The methods that a decorator `pytest.mark.hand(…)` names."""
    if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func) != "pytest.mark.hand":
        return []
    return [str(one.value) for one in decorator.args if isinstance(one, ast.Constant)]


def missing(root: Path, text: str) -> list[str]:
    """The tests that a page names as `tests/…::name` and that are not there."""
    out = []
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)", text):
        path = root / file
        if not path.exists() or not re.search(rf"^\s*def {name}\(", path.read_text(), re.M):
            out.append(f"{file}::{name}")
    return out


def collected(root: Path = HERE) -> tuple[dict[str, Evidence], list[str]]:
    """(method → evidence, sentences about marks and pages of what is no method)."""
    out, strange = {name: Evidence() for name in TABLE}, []
    for path in sorted((root / "tests").rglob("test_*.py")):
        for name, test in marks(path):
            where = f"{path.relative_to(root)}{test}"
            if name in out:
                out[name].hand.append(where)
            else:
                strange.append(f'{where}: marked as by hand for "{name}", which is no method')
    for page in sorted((root / "docs" / "methods").glob("*.md")):
        if page.stem == "README":
            continue
        if page.stem not in out:
            strange.append(f"docs/methods/{page.name}: is the page of no method")
            continue
        text = page.read_text()
        strange += [f"docs/methods/{page.name}: there is no {name}" for name in missing(root, text)]
        lines = [line.removeprefix(BESIDE).strip() for line in text.splitlines() if line.startswith(BESIDE)]
        out[page.stem].beside += [line for line in lines if not line.lower().startswith(NONE)]
    for name, claims in IDENTITIES.items():
        out[name].identities = len(claims)
    return out, strange


def table(found: dict[str, Evidence]) -> str:
    """A row for each method, and the totals."""
    wide = max(map(len, found))
    rows = [f"{'':{wide}}  by hand  identities  beside other code"]
    for name, one in found.items():
        numbers = (f"{len(one.hand) or '–':>7}", f"{one.identities or '–':>10}", f"{len(one.beside) or '–':>17}")
        rows.append(f"{name:{wide}}  " + "  ".join(numbers))
    hand, beside = (sum(bool(getattr(one, what)) for one in found.values()) for what in ("hand", "beside"))
    claimed = sum(bool(one.identities) for one in found.values())
    said = f"{len(found)} methods: {hand} with numbers worked out by hand, {claimed} with identities"
    return "\n".join([*rows, "", f"{said}, {beside} compared with other code"])


def main(words: list[str]) -> int:
    found, strange = collected()
    print(table(found))
    if "--tests" in words:
        for name, one in found.items():
            for line in [*one.hand, *one.beside]:
                print(f"{name}: {line}")
    for sentence in strange:
        print(sentence, file=sys.stderr)
    return int("--check" in words and bool(strange))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
