"""A study's sections as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from disue.study.statistics import Mean
from disue.study.tables import Cell, Figure, Section, Table


def markdown(sections: Sequence[Section]) -> str:
    """The whole page."""
    return "\n".join(_section(one) for one in sections)


def _section(section: Section) -> str:
    parts = [f"### {section.title}\n"]
    parts += [f"{one.caption}\n\n{grid(one)}\n" for one in section.tables]
    parts += [f"{note}\n" for note in section.notes]
    return "\n".join(parts)


def grid(table: Table) -> str:
    out = [f"| {' | '.join(table.head)} |", f"|{'|'.join([' --- '] + [' ---: '] * (len(table.head) - 1))}|"]
    return "\n".join(out + [f"| {' | '.join(text(cell).replace('|', '∣') for cell in row)} |" for row in table.rows])


def text(cell: Cell) -> str:
    """A cell in words."""
    if isinstance(cell, Figure):
        return show(cell.mean, sign=cell.signed, digits=cell.digits)
    return "–" if cell is None else cell


def show(value: Mean | None, sign: bool = False, digits: int = 1) -> str:
    """`52.5 ± 0.4`; of two seeds both values, `52.5 [52.2, 52.8]`, as their interval says little; of one the value."""
    if value is None:
        return "–"

    def one(number: float) -> str:
        return f"{number:+.{digits}f}" if sign else f"{number:.{digits}f}"

    if math.isnan(value.half):
        return one(value.mean)
    if value.n == 2:
        return f"{one(value.mean)} [{one(value.low)}, {one(value.high)}]"
    return f"{one(value.mean)} ± {value.half:.{digits}f}"
