"""A study's page: what it draws of made-up runs, and that it needs nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from study_bed import folders, study

from disue.study.compare import write
from disue.study.plan import Study
from disue.study.report import Trace, _curves, band, most_telling
from disue.study.results import Results

HEAD = """
rounds = 12
evaluate = { every = 4, targets = [25.0] }
[study]
seeds = [0, 1, 2, 3, 4]
"""
ROWS = """
[[study.method]]
label = "FedAvg <script>alert(1)</script>"
name = "fedavg"
[[study.method]]
label = "IFCA"
name = "ifca"
[[study.method]]
label = "ours"
name = "disue"
against = ["IFCA"]
"""
NAMED = '[[study.comparison]]\na = "ours"\nb = "IFCA"\n'


def settings(n: int) -> str:
    return "".join(f'[[study.setting]]\nname = "Dir({at + 1})"\npartition.alpha = {at + 1}.0\n' for at in range(n))


def page(folder: Path, n: int, *, named: bool = True, truth: bool = False) -> tuple[str, Results]:
    plan = study(folder, HEAD + settings(n) + ROWS + (NAMED if named else ""))
    found = folders(plan, folder / "out", truth=truth)
    write(plan, folder / "out")
    return (folder / "out" / "report.html").read_text(), found


def test_the_page_needs_nothing_and_trusts_nothing(tmp_path: Path) -> None:
    text, _ = page(tmp_path, 2)
    assert "<script" not in text and "&lt;script&gt;" in text
    assert not re.search(r"(src|href)=|url\(|@import", text)
    names = re.findall(r' id="([^"]+)"', text)
    assert len(names) == len(set(names))
    for words in (
        "Served accuracy, %",
        "Comparisons named beforehand",
        "Accuracy by round",
        "Accuracy by bytes sent",
        "Paired differences",
        "Clients",
        "To an accuracy",
        "Conditions",
        "All rows of a seed share partition, initial weights and cohorts (checked by hash).",
        "always naming a client&#x27;s commonest class",
    ):
        assert words in text, words
    assert text.count("<details") == text.count('<details class="run" open>') == 2
    assert write(Study.read(tmp_path / "s.toml"), tmp_path / "out").with_name("report.html").read_text() == text


def test_what_there_is_not_is_not_shown(tmp_path: Path) -> None:
    text, _ = page(tmp_path, 1, named=False)
    for words in ("Comparisons named", "Planted groups", "Mean rank"):
        assert words not in text, words
    assert text.count("Best served: ") == 2  # in the title of the document and above the page


def test_groups_and_ranks_where_they_are_known(tmp_path: Path) -> None:
    text, _ = page(tmp_path, 6, truth=True)
    assert "Planted groups found: ARI" in text and "Planted groups found: AMI" in text
    assert "Mean rank over all settings" in text and "Friedman" in text
    assert text.count("<details") == 6 and text.count('<details class="run" open>') == 1  # the others are folded


def test_the_headline_is_the_first_comparison(tmp_path: Path) -> None:
    text, found = page(tmp_path, 1)
    values = found.values()
    ours, ifca = (values["Dir(1)", label, "served_global"] for label in ("ours", "IFCA"))
    d = np.array([ours[s] - ifca[s] for s in range(5)])
    half = scipy.stats.t.ppf(0.975, 4) * d.std(ddof=1) / 5**0.5
    how = "above" if d.mean() > 0 else "below"
    assert f"<h1>ours is {abs(d.mean()):.1f} ± {half:.1f} points {how} IFCA, over 5 seeds.</h1>" in text


def test_bands_are_intervals_inside_what_can_be() -> None:
    y = np.array([[10.0, 99.0], [12.0, 70.0], [17.0, 100.0]])
    low, high = band(y, 0.0, 100.0)
    assert low is not None and high is not None
    a, b = scipy.stats.t.interval(0.95, 2, loc=13.0, scale=scipy.stats.sem(y[:, 0]))
    assert (low[0], high[0]) == pytest.approx((a, b))
    assert high[1] == 100.0
    low, high = band(y[:2], 0.0, 100.0)
    assert low is not None and high is not None and (low.tolist(), high.tolist()) == ([10.0, 70.0], [12.0, 99.0])
    assert band(y[:1], 0.0, 100.0) == (None, None)


def test_curves_take_the_rounds_that_all_seeds_evaluated() -> None:
    """Bytes are summed over all rounds until then, also those that were not evaluated."""

    def trace(served: list[float], sent: float) -> Trace:
        n = len(served)
        columns = {"round": np.arange(n), "served_global": served, "bytes_up": [sent] * n, "bytes_down": [2 * sent] * n}
        return Trace({name: np.asarray(values, float) for name, values in columns.items()})

    nan = float("nan")
    (curve,) = _curves({"a": [trace([1, nan, 3, 4], 1.0), trace([3, 9, 5, nan], 3.0)], "b": []}, "served_global")[:1]
    assert (curve.rounds.tolist(), curve.y.tolist(), curve.sent.tolist()) == ([0, 2], [2, 4], [6, 18])


def test_the_rows_that_are_drawn_are_those_compared_then_the_best(tmp_path: Path) -> None:
    rows = "".join(f'[[study.method]]\nlabel = "row {at}"\nname = "fedavg"\n' for at in range(12))
    plan = study(tmp_path, HEAD + rows + '[[study.comparison]]\na = "row 1"\nb = "row 0"\n')
    values = {("all", f"row {at}", "served_global"): {0: 100.0 - at if at > 1 else 0.0} for at in range(12)}
    assert most_telling(plan, values, "all") == [f"row {at}" for at in (0, 1, 2, 3, 4, 5, 6, 7)]
    values["all", "row 11", "served_global"] = {0: 200.0}
    assert most_telling(plan, values, "all")[-1] == "row 11"
