"""What is shown of a run: a live block on a terminal, else lines; never both."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from disue.cli.display import Display
from disue.cli.tables import seconds, size
from disue.core.method import Info
from disue.runs.federate import Record


def record(round: int, *, evaluated: bool, notes: tuple[str, ...] = (), **row: float) -> Record:
    full = {"round": round, "bytes_up": 1500, "bytes_down": 500, "cohort": 3, "answered": 3, **row}
    if evaluated:
        full |= {"served_global": 43.21, "expert_global": 43.21, "expert_effect": -1.26}
        full |= {"group_local": 60.0, "expert_prior_local": 71.0, "majority_local": 68.0}
    cohort = np.array([4001, 17, 902], np.int64)
    return Record(round, 60, full, Info(), {3: 2, 8: 1}, cohort, 0.5, 75.0, evaluated, notes)


def shown(*records: Record, terminal: bool, quiet: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120, color_system=None, highlight=False)
    with Display("disue on digits", "disue resume r", quiet=quiet, to=console) as display:
        for one in records:
            display(one)
    return out.getvalue()


def test_lines_where_there_is_no_terminal() -> None:
    text = shown(record(0, evaluated=True), record(1, evaluated=False), record(2, evaluated=True), terminal=False)
    assert "\x1b" not in text
    assert text.splitlines() == [
        "disue on digits",
        *(
            f"round {r}/60  served 43.2  expert 43.2 (−1.3)  local 60.0  with own prior 71.0  majority 68.0  "
            "groups 2  left 1 min 15 s"
            for r in (0, 2)
        ),
    ]


def test_events_are_lines_too() -> None:
    one = record(1, evaluated=False, notes=("a note",), clients_dropped=1, answered=1)
    assert shown(one, terminal=False).splitlines()[1:] == [
        "round 1: a note",
        "round 1: 1 clients left out: their updates were not finite",
        "round 1: 1 of 3 clients did not answer",
    ]


def test_the_live_block_shows_the_round_and_the_last_evaluation() -> None:
    dropped = record(12, evaluated=False, clients_dropped=1, answered=2)
    text = shown(record(10, evaluated=True), record(11, evaluated=False), dropped, terminal=True)
    last = text[text.rindex("disue on digits") :]
    for words in (
        "round 12 of 60",
        "1 min 15 s left",
        "3 clients: 4001, 17, 902",
        "2, of 2, 1 clients",
        "4.5 kB up, 1.5 kB down",
        "round 10: served 43.2",
        "expert 43.2 (−1.3)",
        "round 12: 1 clients left out",
    ):
        assert words in last
    assert "round 10/60" not in text


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_is_quiet(terminal: bool) -> None:
    assert shown(record(0, evaluated=True), terminal=terminal, quiet=True) == ""


def test_units() -> None:
    assert [seconds(v) for v in (0.04, 9.96, 59.6, 75, 3600)] == ["0.0 s", "10.0 s", "60 s", "1 min 15 s", "1 h 0 min"]
    assert [size(v) for v in (0, 999, 1000, 2.5e9)] == ["0 B", "999 B", "1 kB", "2.5 GB"]
