"""Ten thousand clients: the page stays small, and says what is drawn of them and what is counted over all."""

from __future__ import annotations

import numpy as np

from disue.reports.dots import Cloud, _levels, sorted_clients
from disue.reports.folder import RunRecord
from disue.reports.page import single


def record(n: int) -> RunRecord:
    ids, rng = np.arange(n) * 3.0, np.random.default_rng(0)
    scores = rng.uniform(20, 90, n)
    clients = {
        "round": np.full(n, 4.0),
        "client": ids,
        "group": ids % 7,
        "group_local": scores,
        "majority_local": scores / 2,
    }
    labels = rng.integers(0, 9, (n, 10))
    arrays = {"labels": labels, "label_ids": ids.astype(np.int64)}
    return RunRecord("big", "clustered", {}, {"round": np.arange(5.0)}, clients=clients, arrays=arrays)


def test_ten_thousand_clients_are_counted_in_columns() -> None:
    run = record(10_000)
    page = single(run)
    assert len(page.encode()) < 5_000_000
    assert "All 10,000 clients in 40 columns" in page and "Drawn: 600 of 10,000 clients" in page
    assert f"group model {run.clients['group_local'].mean():.1f} %" in page
    assert page.count("<circle") < 1000 and page.count('class="band"') == 1


def test_a_band_is_the_percentiles_of_the_clients_of_its_column() -> None:
    """Client n − 1 − i has baseline i: the picture turns the order round. Two columns of a client have no value."""
    n = 40 * 25
    values = np.arange(n)[::-1].astype(float)
    values[values < 50] = np.nan
    low, middle, high = _levels(values, np.array_split(np.arange(n)[::-1], 40))
    assert np.isnan(middle[:2]).all()
    assert middle[2:].tolist() == [25 * at + 12 for at in range(2, 40)]
    assert np.allclose(low[2:], middle[2:] - 9.6) and np.allclose(high[2:], middle[2:] + 9.6)
    cloud = Cloud("model", values / 10, "--group", full=True)
    drawn = sorted_clients("x", "title", "words", np.arange(n), np.arange(n)[::-1] / 10.0, [cloud])
    assert drawn.count('class="line"') == 2 and "<circle" not in drawn and "nan" not in drawn
    assert f"<b>{np.nanmean(values) / 10:.1f}</b>" in drawn


def test_few_clients_are_all_drawn() -> None:
    page = single(record(240))
    assert "Drawn:" not in page and page.count("<circle") == 240
