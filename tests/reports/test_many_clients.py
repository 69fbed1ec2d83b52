"""Ten thousand clients: the page stays small, and says what is drawn of them and what is counted over all."""

from __future__ import annotations

import numpy as np

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


def test_ten_thousand_clients_are_thinned_and_counted() -> None:
    run = record(10_000)
    page = single(run)
    assert len(page.encode()) < 5_000_000
    assert "Drawn: 240 of 10,000 clients" in page and "Drawn: 600 of 10,000 clients" in page
    assert f"group model {run.clients['group_local'].mean():.1f} %" in page  # of all, not of those drawn
    assert page.count("<circle") < 1000


def test_few_clients_are_all_drawn() -> None:
    assert "Drawn:" not in single(record(240))
