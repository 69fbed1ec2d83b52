"""Writes what the docs take from the code: `make docs`. With --check it only says whether anything would change."""

from __future__ import annotations

import sys
from pathlib import Path

from disue.cli import reference
from disue.methods import TABLE

HERE = Path(__file__).parents[1]
BEGIN, END = "<!-- methods: written by `make docs` -->\n", "<!-- end of methods -->"


def methods() -> str:
    """The table of methods, as `disue list methods` has it."""
    rows = ["| name | what it is | allowed more than others |", "| --- | --- | --- |"]
    for name, listed in TABLE.items():
        rows.append(f"| `{name}` | {listed.summary} | {listed.mark} |")
    return "\n".join(rows) + "\n"


def readme(text: str) -> str:
    """README.md with the table put between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit("README.md: the marks of the table of methods are missing")
    return before + BEGIN + methods() + END + after


def pages() -> dict[Path, str]:
    """Every generated page and what it should hold."""
    return {HERE / "README.md": readme((HERE / "README.md").read_text()), HERE / "docs" / "spec.md": reference.page()}


def main(check: bool) -> int:
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if not check:
            path.write_text(pages()[path])
        print(f"{path.relative_to(HERE)} {'is stale: run make docs' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main("--check" in sys.argv[1:]))
