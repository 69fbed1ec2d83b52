"""All sections, the last being of the whole study: the comparisons that it names beforehand, ranks over settings."""

from __future__ import annotations

from collections.abc import Sequence

from disue.study.pairs import SERVED, Tested, tested
from disue.study.results import Results, Values
from disue.study.statistics import ENOUGH, LEVEL, mean, ranks
from disue.study.tables import Figure, Section, Table, section


def sections(results: Results) -> list[Section]:
    """Every setting, then what belongs to all of them."""
    values = results.values()
    last = whole(results, values)
    out = [section(results, values, setting) for setting in results.plan.settings]
    return out if last is None else [*out, last]


def whole(results: Results, values: Values) -> Section | None:
    """The last section; None where nothing is named and the settings are too few to rank over."""
    found = [one for one in (_comparisons(results, values), _ranks(results, values)) if one is not None]
    if not found:
        return None
    return Section("All settings", tuple(table for table, _ in found), tuple(note for _, note in found))


def _comparisons(results: Results, values: Values) -> tuple[Table, str] | None:
    found = tested(results.plan, values)
    if not found:
        return None
    rows = [
        (
            f"{one.setting}: {one.a} − {one.b}, {one.metric}",
            "–" if one.difference is None else str(one.difference.n),
            None if one.difference is None else Figure(one.difference, signed=True),
            p_cell(one.p),
            p_cell(one.adjusted),
        )
        for one in found
    ]
    caption = "Comparisons that the study names beforehand: paired t-tests by seed, two-sided, corrected by Holm."
    return Table("comparisons", caption, ("", "seeds", "difference", "p", "p, Holm"), tuple(rows)), verdict(found)


def verdict(found: Sequence[Tested]) -> str:
    """What the tests say, in one sentence."""
    few = [one for one in found if one.adjusted is None]
    tried = [one for one in found if one.adjusted is not None]
    sure = [one for one in tried if one.adjusted is not None and one.adjusted < LEVEL]
    words = []
    if tried:
        words.append(f"Of {len(tried)} comparisons {len(sure)} differ at the 5 % level after Holm's correction.")
    if few:
        which = "1 comparison is" if len(few) == 1 else f"{len(few)} comparisons are"
        words.append(f"{which} not tested: below {ENOUGH} seeds a table describes and proves nothing.")
    return " ".join(words)


def p_cell(value: float | None) -> str:
    """A p in a table."""
    if value is None:
        return "–"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def p_words(value: float) -> str:
    """A p in a sentence: "p = 0.0132"."""
    return f"p {p_cell(value)}" if value < 0.0001 else f"p = {p_cell(value)}"


def scores(results: Results, values: Values, metric: str = SERVED) -> dict[str, list[float]]:
    """Row → its mean in every setting, for the rows that are complete in all of them."""
    plan = results.plan
    out = {}
    for row in plan.rows:
        cells = [values.get((setting, row.label, metric)) for setting in plan.settings]
        if all(cells):
            out[row.label] = [mean(list(cell.values())).mean for cell in cells if cell]
    return out


def _ranks(results: Results, values: Values) -> tuple[Table, str] | None:
    found = ranks(scores(results, values))
    if found is None:
        return None
    placed = sorted(found.ranks.items(), key=lambda item: item[1])
    rows = tuple((label, f"{rank:.2f}") for label, rank in placed)
    caption = f"Mean rank in served accuracy over {found.settings} settings; 1 is best."
    note = (
        f"Friedman's test that all rows are alike: {p_words(found.p)}. By Nemenyi's test rows less than "
        f"{found.critical:.2f} ranks apart are not told apart at the 5 % level."
    )
    return Table("ranks", caption, ("", "mean rank"), rows), note
