"""Every experiment passes with its control caught; and fails where the protection that it is about is taken away."""

from __future__ import annotations

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.core.streams import Streams
from disue.secure.check import histograms, labels, linking, lone, rebuilding, regression, transcript, two_sample
from disue.secure.check.labels import Learnt
from disue.secure.check.row import Row, keys
from disue.secure.check.run import EXPERIMENTS, run
from disue.secure.client import normals, summing
from disue.secure.client.sketch import Sketcher

STREAMS = Streams(7)


def of(rows: list[Row], word: str) -> Row:
    return next(row for row in rows if word in row.name)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_holds_and_its_control_is_caught(name: str, seed: int) -> None:
    rows = run([name], quick=True, seed=seed)
    assert rows and all(row.good for row in rows), rows
    assert name == "profiles" or any(row.caught for row in rows)
    assert all((row.caught is None) == (row.passed is None) for row in rows)


def test_the_same_seed_gives_the_same_table() -> None:
    assert run(["linking", "transcript"], quick=True, seed=3) == run(["linking", "transcript"], quick=True, seed=3)


def test_an_unknown_experiment() -> None:
    with pytest.raises(UserError, match="two-sample"):
        run(["two-samples"])


def signs_for_normals(words, more, out, edge, layer):
    out[:] = np.where(words & np.uint64(256), -1.0, 1.0)
    return out


def test_entries_of_plus_and_minus_one_are_told_from_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normals, "fill", signs_for_normals)
    assert not any(row.passed for row in two_sample.two_sample(STREAMS, quick=True))


def test_a_wrong_spread_is_told_from_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sketcher, "project", lambda self, v: 1.3 * np.concatenate([rows @ v for rows in self._rows()]))
    assert of(two_sample.two_sample(STREAMS, quick=True), "classifier").passed is False


def test_a_seed_used_twice_links_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking, "keys", lambda streams, *numbers: keys(streams, 0))
    assert linking.by_content(STREAMS, quick=True)[0].passed is False


def test_a_seed_that_is_known_gives_updates_and_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (rebuilding, labels):
        monkeypatch.setattr(module, "keys", lambda streams, *numbers: keys(streams, 0))
    assert rebuilding.rebuilding(STREAMS, quick=True)[0].passed is False
    rows = labels.labels(Learnt.planted(STREAMS), STREAMS, quick=True)
    assert [row.passed for row in rows[:4]] == [False] * 4


def test_labels_are_of_no_use_where_updates_do_not_tell_them() -> None:
    """The control is what makes the experiment worth something: on noise it is not caught."""
    learnt = Learnt.planted(STREAMS)
    noise = STREAMS("noise").normal(size=learnt.updates.shape).astype(np.float32)
    rows = labels.labels(Learnt(noise, learnt.histograms, learnt.candidates, learnt.bias, "noise"), STREAMS, quick=True)
    assert [row.caught for row in rows[:4]] == [False] * 4 and not any(row.good for row in rows[:4])


def test_many_lot_epochs_give_histograms(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = histograms.lot_sets
    monkeypatch.setattr(histograms, "lot_sets", lambda streams, repeat, epochs, size: cut(streams, repeat, 15, size))
    assert [row.passed for row in histograms.histograms(STREAMS, quick=True)] == [False, False]


def test_recovered_by_hand() -> None:
    """Three clients; all pairs are seen, so each is known; of one pair neither is."""
    counts = np.array([[3, 0], [0, 5], [2, 2]])
    pairs = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]], float)
    assert histograms.recovered(pairs, counts) == (1.0, 1.0)
    assert histograms.recovered(pairs[:1], counts)[0] < 0.5


def test_lots_that_change_give_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cohorts of single clients in place of lots: what is a client's own is found."""
    monkeypatch.setattr(regression, "LOT", 1)
    row = regression.regression(STREAMS, quick=True)[0]
    assert row.value == 0, "of a lot of one, nothing is its own beyond the lot"
    monkeypatch.setattr(regression, "LOT", 5)
    drawn = regression.cohort_sets
    sets = drawn(STREAMS("sets"), np.zeros(100, np.int64), 200, 20, 3)
    own = STREAMS("own").normal(size=(100, 50))
    assert regression._found(sets, own, own, STREAMS("noise")) > 0.6


def test_without_a_class_floor_lone_classes_are_released(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lone, "MIN_CLASS", 0)
    assert lone.lone_classes(STREAMS, quick=True)[0].passed is False


def test_lone_classes_by_hand() -> None:
    """Class 0 has four contributors, class 1 one, class 2 two, class 3 none."""
    counts = np.array([[5, 0, 1, 0], [1, 9, 0, 0], [2, 0, 0, 0], [7, 0, 4, 0]])
    assert lone.alone(STREAMS, counts, 3) == [False]
    assert lone.alone(STREAMS, counts, 0) == [False, True, False]


def test_unmasked_vectors_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summing.masks, "add", lambda *_, **__: None)
    assert [row.passed for row in transcript.transcript(STREAMS, quick=True)] == [False, False]


def test_a_coarse_copy_is_found() -> None:
    values = STREAMS("x").normal(size=2000)
    sent = np.rint(4096 * values).astype("<i2").astype("<i4").tobytes()
    worst, most = transcript.likeness(sent, values)
    assert worst > 2 * most


@pytest.mark.parametrize("write", [
    lambda x: x.astype("<f4"), lambda x: x.astype("<f8"), lambda x: np.rint(x * 2.0**32).astype("<i8"),
    lambda x: (-0.37 * x).astype("<f4"), lambda x: np.rint(x * 85 * 2.0**24).astype("<i8"),
    lambda x: (x + 0.5 * np.random.default_rng(0).normal(size=x.size)).astype("<f8"),
])  # fmt: skip
@pytest.mark.parametrize("before", [0, 4, 1000, 1004])
def test_copies_are_found_scaled_and_noisy_at_any_place(write, before: int) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=500).astype(np.float32)
    stream = rng.bytes(before) + write(values.astype(np.float64)).tobytes() + rng.bytes(3000)
    worst, most = transcript.likeness(stream, values)
    assert worst > 2 * most
    clean, most = transcript.likeness(rng.bytes(20_000), values)
    assert clean < most


def test_images_of_short_and_of_constant_arrays() -> None:
    stream = bytes(range(50)) + np.array([3, 0, 7], "<i4").tobytes() + bytes(100)
    found = transcript.images(stream, {"counts": np.array([3, 0, 7])})
    assert [(one.name, one.kind, one.offset) for one in found] == [("counts", "int32", 50)]
    assert transcript.images(stream, {"zeros": np.zeros(5), "one": np.array([3.0], np.float32)}) == []
    part = np.random.default_rng(2).normal(size=5000)
    held = part.astype("<f4").tobytes()[8000:9000]
    assert [one.kind for one in transcript.images(b"x" * 13 + held, {"update": part})] == ["float32"]


def test_numpy_booleans_count_as_booleans() -> None:
    assert not Row("0", "x", 1, "", np.bool_(False)).good and not Row("0", "x", 1, "", None, "c", 0, "", np.False_).good
    assert Row("0", "x", 1, "", None).good


def test_lists_of_small_integers_are_like_nothing() -> None:
    """An update whose first half is positive, behind and before lists of indices: their signs are not its signs."""
    rng = np.random.default_rng(4)
    values = np.abs(rng.normal(size=400)) * np.repeat([1, -1], 200)
    listed = np.arange(3000, dtype="<u4").tobytes()
    worst, most = transcript.likeness(rng.bytes(4000) + listed + rng.bytes(4000) + bytes(4000), values)
    assert worst < most
    assert transcript.likeness(listed + values.astype("<f4").tobytes() + listed, values)[0] > 2 * most


def test_copies_are_found_behind_messages_of_any_length() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=400)
    for size in range(60, 76):
        worst, most = transcript.likeness(transcript.joined([rng.bytes(size), values.tobytes(), rng.bytes(9)]), values)
        assert worst > 2 * most


@pytest.mark.parametrize("before", [0, 3, 8, transcript.CHUNK - 20, transcript.CHUNK - 1, transcript.CHUNK + 5])
@pytest.mark.parametrize("after", [0, 1, 40])
def test_images_are_found_at_any_byte_and_across_chunks(before: int, after: int) -> None:
    rng = np.random.default_rng(before)
    values, others = rng.normal(size=10), {f"other {i}": rng.normal(size=400) for i in range(20)}
    stream = rng.bytes(before) + values.astype("<f8").tobytes() + rng.bytes(after)
    found = transcript.images(stream, {"values": values, **others, "none": np.zeros(10)})
    assert [(one.name, one.kind, one.offset) for one in found] == [("values", "float64", before)]
    assert transcript.images(stream[: before + 79], {"values": values}) == []
    assert transcript.images(b"", {"values": values}) == transcript.images(stream, {}) == []
