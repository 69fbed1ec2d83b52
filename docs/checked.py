"""Writes what `disue privacy-check --out FILE.csv` found as a page: python docs/checked.py FILE.csv PAGE.md"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from disue.cli.privacy import duration
from disue.reports.words import size

HEAD = """# Attacks on the protected protocol, each with its control, and what its steps cost

Made by `disue privacy-check --out check.csv` and then `python docs/checked.py check.csv docs/tables/privacy_check.md`.
Seed 0. A control takes one protection away, and must be caught: an experiment whose control is not is worth nothing.

| # | what | value | must be | control | value | must be |
| --- | --- | ---: | --- | --- | ---: | --- |
"""
COSTS = """
Processor seconds of one thread, medians of five, on the machine that made this page; bytes of one client. Rows that say
"multiplied out" were not carried out: they are sums of the measured steps above them.

| who | step | for | time | up | down |
| --- | --- | --- | ---: | ---: | ---: |
"""


def number(text: str) -> str:
    if not text:
        return "–"
    value = float(text)
    return f"{value:.0f}" if value == int(value) else f"{value:.2g}" if abs(value) < 0.1 else f"{value:.2f}"


def main(found: Path, page: Path) -> None:
    with found.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with found.with_name(f"{found.stem}-costs.csv").open(newline="") as file:
        costs = list(csv.DictReader(file))
    out = HEAD
    for row in rows:
        good = row["passed"] != "False" and row["caught"] != "False"
        cells = [row["number"], row["name"] + ("" if good else " **FAILED**"), number(row["value"]), row["must"]]
        cells += [row["control"] or "–", number(row["against"]), row["needs"] or "–"]
        out += "| " + " | ".join(cells) + " |\n"
    out += COSTS
    for row in costs:
        sent = [size(float(row[way])) if row[way] else "–" for way in ("up", "down")]
        named = [row["who"], row["step"], row["size"], duration(float(row["seconds"]))]
        out += "| " + " | ".join([*named, *sent]) + " |\n"
    page.write_text(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
