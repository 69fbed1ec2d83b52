"""Tables on the terminal: plain columns, one line a row where the output is a file or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 1000  # a pipe has no width: nothing is folded


def console(*, err: bool = False) -> Console:
    """A console for the stream as it is now (tests replace it)."""
    stream = sys.stderr if err else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else WIDE, highlight=False, soft_wrap=False)


def shown(rows: Iterable[Sequence[object]], head: Sequence[str], *, title: str = "", right: Sequence[int] = ()) -> None:
    """Prints rows under their heads; columns in `right` are numbers."""
    out = console()
    table = Table(box=None, show_header=any(head), pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for at, name in enumerate(head):
        last = at == len(head) - 1
        table.add_column(
            name, justify="right" if at in right else "left", no_wrap=not last and at not in right, overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    if title:
        out.print(Text(title, style="bold"))
    with out.capture() as captured:
        out.print(table)
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    click.echo(text)


def percent(value: float | None) -> str:
    """An accuracy with one decimal, or a dash."""
    return "–" if value is None else f"{value:.1f}"


def seconds(value: float) -> str:
    """A duration.

    >>> seconds(3.14), seconds(75), seconds(7265)
    ('3.1 s', '1 min 15 s', '2 h 1 min')
    """
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(value: float) -> str:
    """Bytes in the unit that leaves one to three digits.

    >>> size(999), size(1500), size(2.5e9)
    ('999 B', '1.5 kB', '2.5 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
