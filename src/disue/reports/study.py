"""A study as one page: what was compared, curves with bands over seeds, differences, clients, groups, conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from disue._version import __version__
from disue.core.checks import Float64
from disue.reports.axes import esc, joined, ticks
from disue.reports.compare import look
from disue.reports.html import Cell, bullets, card, document, table
from disue.reports.lines import Axes, Series, curves
from disue.reports.strips import Strip, strips

Looks = Mapping[str, tuple[str, str]]  # row → colour and dash
UNFOLDED = 3  # so many settings are shown in full; of more, all but the first are folded


@dataclass(frozen=True, eq=False)
class Curve:
    """A row's mean over seeds by round (n,), with a band; `sent` is the mean of the bytes sent until then."""

    row: str
    rounds: Float64
    sent: Float64
    y: Float64
    low: Float64 | None
    high: Float64 | None


@dataclass(frozen=True)
class Difference:
    """A paired difference with its interval, in numbers and in words. `against` heads the rows that have it."""

    against: str
    name: str
    mean: float
    low: float
    high: float
    shown: str
    note: str = ""


@dataclass(frozen=True, eq=False)
class Clients:
    """Local accuracies (n,) of all clients of all seeds under one model of a row."""

    row: str
    model: str
    values: Float64


@dataclass(frozen=True)
class Grid:
    """A table as text; a cell may have a second, smaller text."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | tuple[str, str]]]
    why: str = ""


@dataclass(frozen=True)
class Setting:
    """All that is shown of one setting."""

    name: str
    found: str  # one sentence
    table: Grid
    notes: Sequence[str]
    served: Sequence[Curve]
    recovery: Mapping[str, Sequence[Curve]] = field(default_factory=dict)  # ARI, AMI
    differences: Sequence[Difference] = ()
    clients: Sequence[Clients] = ()
    tables: Sequence[Grid] = ()


@dataclass(frozen=True)
class Rank:
    """Mean ranks over settings; rows whose bars (half the critical difference to each side) overlap are alike."""

    ranks: Mapping[str, float]
    critical: float
    note: str


@dataclass(frozen=True)
class Page:
    """A whole study."""

    kicker: str
    title: str
    lead: Sequence[str]
    rows: Sequence[str]  # in the order of the tables; a row keeps its colour on the whole page
    overview: Grid
    settings: Sequence[Setting]
    tested: Sequence[Difference] = ()
    rank: Rank | None = None


def render(page: Page) -> str:
    """The HTML file."""
    looks = {row: look(at) for at, row in enumerate(page.rows)}
    lead = joined(f'<p class="lead-in">{esc(line)}</p>' for line in page.lead)
    top = f'<header><p class="kicker">{page.kicker}</p><h1>{esc(page.title)}</h1>{lead}</header>'
    why = "Paired t-tests by seed, two-sided, corrected by Holm over all of them; lines are 95 % intervals."
    named = card("Comparisons named beforehand", why, _forest("tested", page.tested), wide=True)
    cards = [_grid(page.overview, looks, wide=True), named, _rank(page.rank, looks)]
    many = len(page.settings) > UNFOLDED
    parts = [_setting(one, f"s{at}", looks, unfolded=not many or at == 0) for at, one in enumerate(page.settings)]
    foot = f"<footer>Report of a study by disue {esc(__version__)}, made from its run folders alone.</footer>"
    return document(f"{page.title} · disue study", f'{top}<div class="grid">{joined(cards)}</div>{joined(parts)}{foot}')


def _setting(setting: Setting, slug: str, looks: Looks, *, unfolded: bool) -> str:
    cards = [
        _grid(setting.table, looks, wide=True),
        _curves(f"{slug}-rounds", "Accuracy by round", setting.served, looks, by_bytes=False),
        _curves(f"{slug}-bytes", "Accuracy by bytes sent", setting.served, looks, by_bytes=True),
        card(
            "Paired differences",
            "What clients receive, on the common test set: mean difference over seeds, in points, with its 95 % "
            "interval (of two seeds both values).",
            _forest(f"{slug}-pairs", setting.differences),
        ),
        _clients(f"{slug}-clients", setting.clients, looks),
        *(
            card(
                f"Planted groups found: {name}",
                "1: every client stands with its own; 0: no better than chance.",
                _lines(f"{slug}-{name}", name, lines, looks, Axes(y=name, digits=2, listed=True)),
            )
            for name, lines in setting.recovery.items()
        ),
        *(_grid(one, {}, wide=len(one.head) > 4) for one in setting.tables),
        card("Conditions", "What every figure here rests on.", bullets(list(setting.notes)), wide=True),
    ]
    return (
        f'<details class="run"{" open" if unfolded else ""}><summary><h2>{esc(setting.name)}</h2>'
        f'<p>{esc(setting.found)}</p></summary><div class="grid">{joined(cards)}</div></details>'
    )


def _grid(grid: Grid, looks: Looks, *, wide: bool) -> str:
    def cell(at: int, given: str | tuple[str, str]) -> Cell:
        words, note = (given, "") if isinstance(given, str) else given
        return Cell(words, note, color="" if at else looks.get(words, ("", ""))[0])

    rows = [[cell(at, given) for at, given in enumerate(cells)] for cells in grid.rows]
    return card(grid.title, grid.why, table(grid.head, rows) if rows else "", wide=wide)


def _curves(slug: str, title: str, lines: Sequence[Curve], looks: Looks, *, by_bytes: bool) -> str:
    why = "What clients receive, on the common test set. Lines are means over seeds, bands their 95 % interval"
    why += " (of two seeds both values; of one there is none)."
    if by_bytes:
        most = max((float(line.sent.max()) for line in lines if line.sent.size), default=0.0)
        unit, per = next(
            (u, p) for u, p in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)) if most >= p or p == 1.0
        )
        why = "The same over what was sent, up and down, since the start."
        return card(title, why, _lines(slug, title, lines, looks, Axes(x=f"{unit} sent", listed=True), per))
    return card(title, why, _lines(slug, title, lines, looks, Axes(listed=True)))


def _lines(
    slug: str,
    title: str,
    lines: Sequence[Curve],
    looks: Looks,
    axes: Axes,
    per: float | None = None,
) -> str:
    series = [
        Series(one.row, one.rounds if per is None else one.sent / per, one.y, *looks[one.row], one.low, one.high)
        for one in lines
    ]
    ends = ", ".join(f"{one.row} {one.y[-1]:.{axes.digits}f}" for one in lines if one.y.size)
    return curves(slug, title, f"At the end: {ends}", series, axes)


def _forest(slug: str, found: Sequence[Difference]) -> str:
    if not found:
        return ""
    places = ticks(min(0.0, *(one.low for one in found)), max(0.0, *(one.high for one in found)))
    rows, last = [], ""
    for one in found:
        sure = one.low > 0 or one.high < 0
        color = ("--s0" if one.mean > 0 else "--s1") if sure else "--majority"
        head, last = one.against if one.against != last else "", one.against
        reach = one.low, one.high
        rows.append(Strip(one.name, one.shown, one.mean, reach, color=color, head=head, note=one.note))
    return strips(slug, "Paired differences", rows, places, "points", zero=0.0)


def _rank(rank: Rank | None, looks: Looks) -> str:
    if rank is None:
        return ""
    half = rank.critical / 2
    placed = sorted(rank.ranks.items(), key=lambda item: item[1])
    rows = [Strip(row, f"{at:.2f}", at, (max(at - half, 0.5), at + half), color=looks[row][0]) for row, at in placed]
    places = ticks(1.0, max(len(placed), max(row.reach[1] for row in rows if row.reach)))
    why = f"{rank.note} Bars reach half that difference to each side: rows whose bars overlap are not told apart."
    return card(
        "Mean rank over all settings",
        why,
        strips("ranks", "Mean rank", rows, places, "mean rank, 1 is best"),
        wide=True,
    )


def _clients(slug: str, found: Sequence[Clients], looks: Looks) -> str:
    rows = []
    for one in found:
        values = one.values[np.isfinite(one.values)]
        if not values.size:
            continue
        p10, p25, p50, p75, p90 = np.percentile(values, (10, 25, 50, 75, 90)).tolist()
        color = looks[one.row][0] if one.row in looks else "--majority"
        rows.append(
            Strip(
                one.row,
                f"{values.mean():.1f}",
                p50,
                (p10, p90),
                (p25, p75),
                float(values.min()),
                color,
                muted=one.row not in looks,
                note=one.model,
            )
        )
    why = (
        "Local accuracy of every client of every seed, last evaluation. Dot: median; bar: the middle half; line: tenth "
        "to ninetieth percentile; tick: the worst client; the number is the mean. Below the majority class a model is "
        "worth less than a constant answer."
    )
    return card("Clients", why, strips(slug, "Local accuracy", rows, [0, 20, 40, 60, 80, 100], "accuracy, %"))
