"""Writes what the docs take from the code: `make docs`. With --check it only says whether anything would change."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from disue.cli import reference
from disue.methods import TABLE
from disue.methods.table import CLUSTERED, DISTILLED, PERSONAL, SINGLE, UNIVERSAL

HERE = Path(__file__).parents[1]
BEGIN, END = "<!-- methods: written by `make docs` -->\n", "<!-- end of methods -->"
PAGES_BEGIN, PAGES_END = "<!-- pages: written by `make docs` -->\n", "<!-- end of pages -->"
FAMILIES = {"one model": SINGLE, "distilled": DISTILLED, "groups": CLUSTERED, "personal": PERSONAL, "expert": UNIVERSAL}


def methods() -> str:
    """The table of methods, as `disue list methods` has it."""
    rows = ["| name | what it is | allowed more than others |", "| --- | --- | --- |"]
    for name, listed in TABLE.items():
        rows.append(f"| `{name}` | {listed.summary} | {listed.mark} |")
    return "\n".join(rows) + "\n"


def index() -> str:
    """A row for every page of a method: what its lines "Hand test: " and "Reference comparison: " say."""
    rows = ["| method | family | hand test | compared with | largest difference |", "| --- | --- | --- | --- | --- |"]
    for family, table in FAMILIES.items():
        for name in table:
            page = HERE / "docs" / "methods" / f"{name}.md"
            if not page.exists():  # a variant, named on the page of its method
                continue
            text = page.read_text()
            hand = re.search(r"^Hand test: `[^`]*/([\w.]+)::", text, re.M)
            found = re.search(r"^Reference comparison: (\S+@\w+), largest difference (.*)\.$", text, re.M)
            against, gap = found.groups() if found else ("", "")
            rows.append(f"| [{name}]({name}.md) | {family} | {f'`{hand[1]}`' if hand else ''} | {against} | {gap} |")
    return "\n".join(rows) + "\n"


def between(text: str, begin: str, end: str, what: str) -> str:
    """The text with `what` put between two marks."""
    before, mark, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not mark or not last:
        raise SystemExit(f"the marks {begin.strip()} … {end} are missing")
    return before + begin + what + end + after


def pages() -> dict[Path, str]:
    """Every generated page and what it should hold."""
    front, listed = HERE / "README.md", HERE / "docs" / "methods" / "README.md"
    return {
        front: between(front.read_text(), BEGIN, END, methods()),
        HERE / "docs" / "spec.md": reference.page(),
        listed: between(listed.read_text(), PAGES_BEGIN, PAGES_END, index()),
    }


def main(check: bool) -> int:
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if not check:
            path.write_text(pages()[path])
        print(f"{path.relative_to(HERE)} {'is stale: run make docs' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main("--check" in sys.argv[1:]))
