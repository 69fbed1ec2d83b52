"""A table in Markdown."""

from __future__ import annotations


class Table:
    """`add` a row after another; `str` is the Markdown."""

    def __init__(self, *head: str) -> None:
        self.head, self.rows = head, list[list[str]]()

    def add(self, *cells: object) -> None:
        self.rows.append([str(cell).replace("|", "\\|") for cell in cells])

    def __str__(self) -> str:
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
