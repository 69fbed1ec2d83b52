r"""A study's sections as LaTeX: tables with booktabs, notes as a paragraph under each setting.

The file is for \input; it needs \usepackage{booktabs}.
"""

from __future__ import annotations

from collections.abc import Sequence

from disue.study.markdown import text
from disue.study.plan import slug
from disue.study.tables import Cell, Figure, Section, Table

PLUS_MINUS = r"\pm"
SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "α": r"$\alpha$",
    "µ": r"$\mu$",
    "μ": r"$\mu$",
    "×": r"$\times$",
    "∣": "|",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
}


def latex(sections: Sequence[Section]) -> str:
    """All tables, to be put into a paper."""
    parts = ["% Written by `disue compare --latex`; needs \\usepackage{booktabs}."]
    for section in sections:
        notes = " ".join(section.notes)
        parts += [_table(one, section, notes) for one in section.tables]
    return "\n\n".join(parts) + "\n"


def _table(table: Table, section: Section, notes: str) -> str:
    """The notes stand under every table, so that none is read without them."""
    lines = [
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{escaped(f'{section.title}. {table.caption}')}}}",
        f"  \\label{{tab:{slug(section.title)}-{slug(table.name)}}}",
        f"  \\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
        r"    \toprule",
        f"    {_line(table.head)}",
        r"    \midrule",
        *(f"    {_line(row)}" for row in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
    ]
    if notes:
        lines += [r"  \par\smallskip", f"  {{\\footnotesize {escaped(notes)}\\par}}"]
    return "\n".join([*lines, r"\end{table}"])


def _line(cells: Sequence[Cell]) -> str:
    return " & ".join(_cell(cell) for cell in cells) + r" \\"


def _cell(cell: Cell) -> str:
    if not isinstance(cell, Figure):
        return escaped(text(cell))
    return f"${text(cell).replace('±', PLUS_MINUS)}$"


def escaped(words: str) -> str:
    r"""Text that LaTeX prints as it is.

    >>> escaped("Dir(0.1), 10 % of a_b")
    'Dir(0.1), 10 \\% of a\\_b'
    """
    return "".join(SPECIAL.get(letter, letter) for letter in words)
