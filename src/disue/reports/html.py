"""Pieces of the page: cards, tables, tiles, and the document round them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from disue.reports.axes import esc, joined
from disue.reports.words import fact

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # the page may load nothing


@dataclass(frozen=True)
class Tile:
    """One number to look at: `value` with a smaller `unit`, and a line that says what it is."""

    name: str
    value: str
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table; `note` stands under the text in small print."""

    text: str
    note: str = ""
    strong: bool = False
    color: str = ""  # a swatch before the text


def tiles(items: Sequence[Tile]) -> str:
    """A band of numbers."""
    if not items:
        return ""
    body = joined(
        f'<div class="tile"><dt>{esc(t.name)}</dt><dd>{esc(t.value)}'
        f"{f' <small>{esc(t.unit)}</small>' if t.unit else ''}</dd>{f'<p>{esc(t.note)}</p>' if t.note else ''}</div>"
        for t in items
    )
    return f'<dl class="tiles">{body}</dl>'


def card(title: str, why: str, body: str, *, origin: str = "", wide: bool = False) -> str:
    """A section with its title, one line on how to read it, and where the data came from; empty without a body."""
    if not body:
        return ""
    return joined(
        [
            f'<section class="card{" wide" if wide else ""}"><h2>{esc(title)}</h2>',
            f'<p class="why">{esc(why)}</p>' if why else "",
            body,
            f'<p class="from">{esc(origin)}</p>' if origin else "",
            "</section>",
        ]
    )


def stack(*cards: str) -> str:
    """Cards one below the other in one cell of the grid."""
    there = [one for one in cards if one]
    if len(there) < 2:
        return joined(there)
    return f'<div class="stack">{joined(there)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], base: Iterable[int] = ()) -> str:
    """The first column is text, the others numbers; rows in `base` are muted."""
    heads = joined(f'<th scope="col"{" class=n" if at else ""}>{esc(h)}</th>' for at, h in enumerate(head))
    muted = set(base)
    body = joined(
        f"<tr{' class=base' if number in muted else ''}>{joined(_cell(c, at) for at, c in enumerate(row))}</tr>"
        for number, row in enumerate(rows)
    )
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: Cell, at: int) -> str:
    swatch = f'<i class="swatch" style="background:var({cell.color})"></i>' if cell.color else ""
    words = f"<b>{esc(cell.text)}</b>" if cell.strong else esc(cell.text)
    note = f"<small>{esc(cell.note)}</small>" if cell.note else ""
    kind = " class=n" if at else " class=named" if swatch else ""
    return f"<td{kind}>{swatch}{words}{note}</td>"


def facts(items: Mapping[str, object]) -> str:
    """Names and values."""
    body = joined(f"<dt>{esc(name)}</dt><dd>{esc(fact(value))}</dd>" for name, value in items.items())
    return f'<dl class="facts">{body}</dl>' if body else ""


def bullets(items: Sequence[str]) -> str:
    return f'<ul class="plain">{joined(f"<li>{esc(item)}</li>" for item in items)}</ul>' if items else ""


def document(title: str, body: str) -> str:
    """The whole file: one style sheet inside, no script, nothing from elsewhere."""
    css = resources.files("disue.reports").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{esc(title)}</title><style>{css}</style></head>\n<body><main>{body}</main></body></html>\n"
    )
