"""The table of costs has every step once, with a positive time."""

from __future__ import annotations

from disue.secure.check import costs as module


def test_every_step_is_timed(monkeypatch) -> None:
    monkeypatch.setattr(module, "LEAST", 0.0)
    said: list[str] = []
    rows = module.costs(quick=True, repeats=1, progress=said.append)
    timed = [row for row in rows if "multiplied out" not in row.size]
    steps = [row for row in timed if not row.step.startswith("round: ")]
    assert len(said) == len(steps) + 1 and len(rows) == len({(row.who, row.step, row.size) for row in rows})
    assert {row.who for row in rows} == {"client", "server"}
    assert all(row.seconds >= 0 for row in rows) and sum(row.seconds for row in rows) > 0


def test_medians_are_of_what_was_timed(monkeypatch) -> None:
    """A clock that is read before and after: the first call is not counted, three follow, 1, 5 and 2 seconds long."""
    ticks = iter([0.0, 100.0, 100.0, 101.0, 101.0, 106.0, 106.0, 108.0])
    monkeypatch.setattr(module.time, "process_time", lambda: next(ticks))
    assert module.median(lambda: None, repeats=3) == 2.0


def test_a_whole_round_costs_a_client_its_upload_and_little_else() -> None:
    d, n = 500, 6
    rows = {(row.who, row.step): row for row in module.whole(n, d)}
    phases = {step.removeprefix("round: ") for who, step in rows if who == "client"}
    assert phases >= {"keys", "sketch", "masks", "unmask"}
    masks = rows["client", "round: masks"]
    assert masks.up == 64 + 8 + 8 * (d + 1 + 5) + 64, "header, length, weight, update and labels, signature"
    sketch = rows["client", "round: sketch"]
    assert sketch.up == 64 + 16 + 4 + 4 + 2 * 256 + 64
    assert all(row.up is None for (who, _), row in rows.items() if who == "server")


def test_what_is_multiplied_out_is_the_steps_by_hand():
    """Of 1,000 clients: 64 partners and the self mask, 65 masks of 2 s; 64 holders; 1,000 signatures of 1 s."""
    took = {
        ("seal a box", "66 bytes"): 0.25,
        ("open a box", "66 bytes"): 0.25,
        ("key exchange", "X25519"): 0.5,
        ("key derivation", "HKDF-SHA256"): 0.5,
        ("verification", "Ed25519"): 1.0,
        ("one mask", "d = 10"): 2.0,
        ("fixed point", "d = 10"): 3.0,
        ("hash of the upload", "d = 10"): 4.0,
        ("add one upload", "d = 10"): 5.0,
    }
    steps = [module.Cost("", step, size, seconds) for (step, size), seconds in took.items()]
    rows = {row.step: row for row in module.multiplied(steps, (10,), (1000,))}
    assert rows["mask with 64 partners"].seconds == 3 + 65 * 2 + 4 and rows["mask with 64 partners"].up == 136 + 80
    assert rows["keys of all, and boxes"].seconds == 1000 + 128 + 64 * 0.5
    assert rows["add uploads, remove self masks"].seconds == 1000 * (5 + 2)
    assert rows["remove the masks of one lost member"].seconds == 128
    assert all("multiplied out" in row.size for row in rows.values())
