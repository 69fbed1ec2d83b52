"""The table of costs has every step once, with a positive time."""

from __future__ import annotations

from disue.secure.check import costs as module


def test_every_step_is_timed(monkeypatch) -> None:
    monkeypatch.setattr(module, "LEAST", 0.0)
    said: list[str] = []
    rows = module.costs(quick=True, repeats=1, progress=said.append)
    assert len(said) == len(rows) == len({(row.step, row.size) for row in rows})
    assert {row.who for row in rows} == {"client", "server"}
    assert all(row.seconds >= 0 for row in rows) and sum(row.seconds for row in rows) > 0


def test_medians_are_of_what_was_timed(monkeypatch) -> None:
    """A clock that is read before and after: the first call is not counted, three follow, 1, 5 and 2 seconds long."""
    ticks = iter([0.0, 100.0, 100.0, 101.0, 101.0, 106.0, 106.0, 108.0])
    monkeypatch.setattr(module.time, "process_time", lambda: next(ticks))
    assert module.median(lambda: None, repeats=3) == 2.0
