"""A transcript of an honest round passes; each thing that must not stand in one is found when it is put there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.core.streams import Streams
from disue.secure.check.audit import Entry, audit, read
from disue.secure.check.cohort import Cohort
from disue.secure.check.row import Row
from disue.secure.client.local import Policy
from disue.secure.server.exchange import Exchange
from disue.secure.wire.codec import decode, encode
from disue.secure.wire.header import Header
from disue.secure.wire.messages import MASK_KEY, SELF_SEED, Alive, Masked, Sketch, Unmask
from disue.secure.wire.opening import STATIC

STREAMS = Streams(3)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    made = Cohort(STREAMS, 7, 300)
    exchange = made.exchange(made.sketched())
    exchange.open()
    exchange.sketches()
    assert len(exchange.sums({0: range(4), 1: range(4, 7)})) == 2
    return made


def hidden(cohort: Cohort) -> dict[str, np.ndarray]:
    return {f"counts {index}": cohort.counts[index] for index in range(cohort.n)}


def failed(entries: list[Entry], cohort: Cohort) -> list[str]:
    return [row.name for row in audit(entries, hidden(cohort)) if not row.good]


def test_an_honest_round_passes_from_its_file(cohort: Cohort, tmp_path: Path) -> None:
    path = tmp_path / "transcript.bin"
    path.write_bytes(cohort.heard.pack())
    entries = read(path)
    assert entries == cohort.heard.messages and len(entries) > 50
    rows = audit(entries, hidden(cohort))
    assert all(row.good for row in rows) and rows[-1].caught and rows[-1].against == 7


def test_what_is_no_transcript(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"privacy\.transcript"):
        read(tmp_path / "none")
    for stored in (b"x" * 30, b"u" + bytes(4) + (100).to_bytes(4, "little") + b"short", b"u\0"):
        (tmp_path / "bad").write_bytes(stored)
        with pytest.raises(UserError, match="not a transcript"):
            read(tmp_path / "bad")
    (tmp_path / "empty").write_bytes(b"")
    assert read(tmp_path / "empty") == []


def first(cohort: Cohort, kind: type, way: bytes) -> tuple[int, bytes]:
    return next((i, raw) for w, i, raw in cohort.heard.messages if w == way and raw[5] == kind.TYPE)


def changed(raw: bytes, cohort: Cohort, **body: object) -> bytes:
    """The message with other words in it; the signature is not looked at here."""
    read_ = decode(raw, masked=len(raw))
    index = read_.header.sender
    key = cohort.parties[index].state.own.identity if index in cohort.parties else None
    return encode(read_.header, replace(read_.body, **body), key)


@pytest.mark.parametrize("what", ["broken", "sketch", "alive", "floor", "both", "uniform", "image"])
def test_what_must_not_be_there_is_found(what: str, cohort: Cohort) -> None:
    entries = list(cohort.heard.messages)
    if what == "broken":
        index, raw = first(cohort, Sketch, b"u")
        entries.append((b"u", index, raw[:-1]))
        assert failed(entries, cohort) == ["messages that the format refuses"]
    elif what == "sketch":
        index, raw = first(cohort, Sketch, b"u")
        entries.append((b"u", index, raw))
        assert failed(entries, cohort) == [], "a repeat is not a second one"
        entries.append((b"u", index, changed(raw, cohort, values=(bytes(128),))))
        assert failed(entries, cohort) == ["second, different sketches under one seed"]
    elif what == "alive":
        index, raw = first(cohort, Alive, b"d")
        entries.append((b"d", index, changed(raw, cohort, members=(0, 1, 2))))
        assert failed(entries, cohort) == ["alive sets that differ between those who were shown them"]
    elif what == "floor":
        shown = [w == b"d" and raw[5] == Alive.TYPE for w, _, raw in entries]
        lie = [(w, i, changed(raw, cohort, members=(0, 1)) if is_so else raw)
               for is_so, (w, i, raw) in zip(shown, entries, strict=True)]  # fmt: skip
        assert failed(lie, cohort) == ["sums unmasked below the floor"]
    elif what == "both":
        index, raw = first(cohort, Unmask, b"u")
        (member, kind, share), *rest = decode(raw).body.shares
        other = MASK_KEY if kind == SELF_SEED else SELF_SEED
        entries.append((b"u", index, changed(raw, cohort, shares=((member, other, share), *rest))))
        assert failed(entries, cohort) == ["members of whom one holder gave both kinds of share"]
    elif what == "uniform":
        index, raw = first(cohort, Masked, b"u")
        plain = np.arange(decode(raw, masked=len(raw)).body.values.size, dtype=np.uint64)
        entries.append((b"u", index, changed(raw, cohort, values=plain)))
        assert [name.split(":")[0] for name in failed(entries, cohort)] == ["bytes of 8 masked uploads"]
    else:
        index, raw = first(cohort, Sketch, b"u")
        header: Header = replace(decode(raw).header, round=9)
        counts = np.pad(cohort.counts[2].astype("<i4"), (0, 1)).tobytes()
        key = cohort.parties[index].state.own.identity
        entries.append((b"u", index, encode(header, Sketch(bytes(16), (counts,)), key)))
        assert failed(entries, cohort) == ["images of clients' arrays in all bytes"]


def test_static_sums_over_changing_sets_are_counted() -> None:
    """Three rounds of static sums over other lots each: the clients' own budget would refuse the third."""
    cohort = Cohort(STREAMS, 12, 8, Policy(min_lot=4, static_releases=3))
    sections = cohort.opening().sections
    static = (*sections[:2], replace(sections[2], policy=STATIC))
    values = []
    for number, shift in enumerate((0, 0, 1, 2), start=1):
        exchange = Exchange(cohort.roster, cohort.opening(sections=static), cohort.crowd(), number=number,
                            transcript=cohort.heard)  # fmt: skip
        exchange.open()
        order = np.roll(np.arange(12), shift)
        assert len(exchange.sums({0: order[:6].tolist(), 1: order[6:].tolist()})) == 2
        row: Row = next(row for row in audit(cohort.heard.messages, hidden(cohort)) if "static" in row.name)
        values.append((row.value, row.passed))
    assert values == [(1, True), (1, True), (2, True), (3, False)]
