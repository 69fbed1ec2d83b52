"""What the protected protocol asked, cost and met, as the summary of a run has it."""

from __future__ import annotations

from collections.abc import Mapping

from disue.reports.folder import RunRecord
from disue.reports.html import Cell, bullets, card, facts, table
from disue.reports.words import size

WHAT = {
    "keys": "keys, signed, and everybody's",
    "seed": "sealed parts of the secret seed",
    "sketch": "sketches or choices",
    "grouping": "the groups, told to all",
    "shares": "shares of mask keys and self seeds",
    "masks": "masked vectors",
    "unmask": "who is alive, and the shares that open the sum",
    "models": "models under which moments are measured",
}


def costs(run: RunRecord) -> str:
    """The card of a protected run."""
    if not run.privacy:
        return ""
    phases = run.privacy.get("phases")
    rows = []
    for name, found in phases.items() if isinstance(phases, Mapping) else ():
        if not isinstance(found, Mapping):
            continue
        rows.append(
            [
                Cell(str(name), WHAT.get(str(name), "")),
                Cell(_seconds(found.get("seconds_client"))),
                Cell(_seconds(found.get("seconds_client_most"))),
                Cell(_seconds(found.get("seconds_server"))),
                Cell(_bytes(found.get("bytes_up"))),
                Cell(_bytes(found.get("bytes_down"))),
            ]
        )
    head = ("phase", "client, a round", "slowest", "server, in all", "up, in all", "down, in all")
    why = "The server saw sketches and sums alone. Seconds of a client are the median over clients and rounds."
    terms = f'<div style="margin-top:14px">{facts(_terms(run.privacy))}</div>'
    body = (table(head, rows) if rows else "") + terms
    met = run.privacy.get("met")
    if isinstance(met, Mapping) and met:
        said = bullets([f"{name} ({count}×)" for name, count in met.items()])
        body += f'<details class="more"><summary>What it met</summary>{said}</details>'
    return card("The protected protocol", why, body, wide=True)


def _terms(privacy: Mapping[str, object]) -> dict[str, object]:
    names = {
        "similarity": "Similarity",
        "k": "Numbers of a sketch",
        "k_needed": "Numbers that the measured gap asks for",
        "within": "Cosine within groups",
        "between": "Cosine between groups",
        "epsilon": "ε of a choice",
        "min_group": "Clients of a sum, at least",
        "min_class": "Holders of a class in a lot, at least",
        "merged": "Clients counted in another group",
        "skipped": "Clients left out by the floor",
        "consistency": "Alive sets are compared",
        "strict": "Floor for every start",
        "randomness": "Randomness",
    }
    return {title: privacy[name] for name, title in names.items() if name in privacy}


def _seconds(value: object) -> str:
    if not isinstance(value, int | float):
        return "–"
    return f"{1000 * value:.1f} ms" if value < 1 else f"{value:.1f} s"


def _bytes(value: object) -> str:
    return size(float(value)) if isinstance(value, int | float) else "–"
