"""The moments family over the rounds: the store, transport, answers that cannot be used."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from moments_world import (
    AVERAGE,
    LAYOUT,
    SENT,
    WORLD,
    C,
    Door,
    F,
    clients,
    features,
    first,
    head_of,
    making,
    vector,
)

from disue.core import tree
from disue.core.layout import Entry, Layout
from disue.parts.expert.moments import MomentsDistil

# -- over the rounds -----------------------------------------------------------------------------------


def test_absent_classes_are_carried_along_with_the_body():
    """Round 1 lacks classes 3 and 4 and has another body: their means are where that body would put them."""
    part = MomentsDistil(transport_ridge=0.0)
    one = first(part)
    sent, average = vector(8, body=AVERAGE), vector(9)
    asks = making(clients(classes=[0, 1, 2], seed=3), round=1, sent=sent, average=average)
    two = part.make(WORLD, one.memory, asks)
    assert asks.uploads.asked[0].against is sent
    data = clients().values()
    x, y = np.concatenate([x for x, _ in data]), np.concatenate([y for _, y in data])
    there = features(average, x)
    for c in (3, 4):
        np.testing.assert_allclose(two.memory.means[c], there[y == c].mean(axis=0), atol=1e-4)
    assert two.memory.counts[3] == one.memory.counts[3] and two.memory.counts[0] > one.memory.counts[0]
    assert two.info.values["moments.drift"] > 0 and two.info.values["moments.transport_skipped"] == 0
    stays = dataclasses.replace(part, transport=False).make(WORLD, one.memory, asks)
    assert stays.memory.means[3].tolist() == one.memory.means[3].tolist()
    assert asks.uploads.asked[1].against is None and stays.info.values["moments.transport_skipped"] == 0


@pytest.mark.parametrize("missed", ["starts differ", "a round without measurement", "a stale round"])
def test_transport_starts_from_the_body_that_the_store_was_measured_under(missed):
    """What was sent has another body: the map is measured against the store's own vector instead."""
    part = MomentsDistil(transport_ridge=0.0, every=2 if missed == "a round without measurement" else 1)
    one = first(part)
    assert one.info.values["moments.transport_skipped"] == 0  # nothing to carry yet
    assert one.memory.under.tobytes() == AVERAGE.tobytes() and not one.memory.under.flags.writeable
    memory, sent = one.memory, None
    if missed != "starts differ":
        sent = vector(31)
        between = making(round=1, sent=vector(8, body=AVERAGE), average=sent, stale=True)
        memory = part.make(WORLD, memory, between).memory
        assert memory.under.tobytes() == AVERAGE.tobytes()
    average = vector(9)
    asks = making(clients(classes=[0, 1]), round=2, sent=sent, average=average)
    two = part.make(WORLD, memory, asks)
    assert asks.uploads.asked[0].against.tobytes() == AVERAGE.tobytes()
    assert two.info.values["moments.refreshed"] == 1 and two.info.values["moments.transport_skipped"] == 0
    data = clients().values()
    x, y = np.concatenate([x for x, _ in data]), np.concatenate([y for _, y in data])
    np.testing.assert_allclose(two.memory.means[3], features(average, x)[y == 3].mean(axis=0), atol=1e-4)


def test_a_door_without_cross_moments_skips_transport_and_counts_it(monkeypatch):
    part = MomentsDistil()
    one = first(part)
    whole = Door.moments
    monkeypatch.setattr(Door, "moments", lambda *a, against=None, **k: whole(*a, **k))
    two = part.make(WORLD, one.memory, making(clients(classes=[0, 1]), round=1))
    assert two.info.values["moments.transport_skipped"] == 1 and two.info.values["moments.refreshed"] == 1
    assert two.memory.means[3].tolist() == one.memory.means[3].tolist()


@pytest.mark.parametrize("door", [{"stale": True}, {"broken": True}])
def test_a_stale_or_broken_answer_does_not_refresh(door):
    part = MomentsDistil()
    one = first(part)
    average = vector(11)
    two = part.make(WORLD, one.memory, making(clients(seed=5), round=1, average=average, **door))
    assert two.memory.counts.tobytes() == one.memory.counts.tobytes()
    assert two.memory.sums.tobytes() == one.memory.sums.tobytes()
    assert two.info.values["moments.refreshed"] == 0 and len(two.info.notes) == 1
    assert two.info.values["moments.transport_skipped"] == 1
    np.testing.assert_allclose(head_of(two.expert), head_of(one.expert), atol=1e-6)  # the head as it stands
    assert two.expert[: F * F].tobytes() == average[: F * F].tobytes()


def test_nothing_known_keeps_the_average():
    for door in ({"stale": True}, {"broken": True}):
        made = first(MomentsDistil(), making(**door))
        assert made.expert.tobytes() == AVERAGE.tobytes() and made.info.values["moments.head_kept"] == 1
        assert any("averaged head is kept" in note for note in made.info.notes)
    one_class = first(MomentsDistil(), making(clients(classes=[2])))
    assert one_class.expert.tobytes() == AVERAGE.tobytes() and one_class.memory.seen.sum() == 1


def test_between_measurements_nothing_is_asked():
    part = MomentsDistil(every=3)
    one = first(part)
    for round, asked in ((1, 0), (2, 0), (3, 1)):
        asks = making(round=round, average=vector(20 + round))
        made = part.make(WORLD, one.memory, asks)
        assert len(asks.uploads.asked) == asked and made.info.values["moments.refreshed"] == asked
        assert made.expert.tobytes() != asks.average.tobytes()


def test_degenerate_features_keep_the_averaged_head():
    """A body that maps everything to one point: no scatter, no head; a sentence says so."""
    average = np.array(AVERAGE)
    average[: F * F] = 0.0
    made = first(MomentsDistil(), making(average=average))
    assert made.expert.tobytes() == average.tobytes() and made.memory.scale == 1.0
    assert "scatter" in made.info.notes[0]


def test_a_dead_feature_is_survived_without_shrinkage():
    average = np.array(AVERAGE)
    LAYOUT.tensor(average, "slope")[:, 1] = 0.0
    LAYOUT.tensor(average, "shift")[1] = 0.0
    made = first(MomentsDistil(gamma=0.0), making(average=average))
    assert np.isfinite(made.expert).all() and np.abs(head_of(made.expert)[:, 1]).max() < 1e-6


def test_few_samples_raise_the_shrinkage():
    few = {i: (x[:2], y[:2]) for i, (x, y) in clients().items()}
    made = first(MomentsDistil(), making(few))
    assert 0.1 < made.info.values["moments.gamma"] < 1.0


def test_min_class_is_carried_over():
    data = clients(classes=[0, 1, 2])
    x, y = data[17]
    data[17] = (x, np.where(np.arange(y.size) == 0, 4, y))  # one sample of class 4
    assert first(MomentsDistil(), making(data)).info.values["moments.classes"] == 4
    floor = first(MomentsDistil(min_class=2), making(data))
    assert floor.info.values["moments.classes"] == 3
    assert (head_of(floor.expert)[4] == head_of(AVERAGE)[4]).all()


def test_covariances_per_class_are_asked_for_or_pooled():
    part = MomentsDistil(head="sgd", per_class=True)
    asks = making()
    made = first(part, asks)  # C · F² = 45 ≤ 4 · d
    assert asks.uploads.asked[0].per_class and made.memory.own.shape == (C, F, F)
    wide = Layout((Entry("w", (C, 64)), Entry("b", (C,))), "w", "b")
    assert not part._per_class(wide) and part.init(SimpleNamespace(layout=wide), AVERAGE).own.size == 0
    pooled = first(MomentsDistil(head="sgd"))
    assert pooled.memory.own.size == 0 and pooled.expert.tobytes() != made.expert.tobytes()


def test_memory_survives_the_state_tree_and_inputs_stay():
    part = MomentsDistil()
    one = first(part)
    arrays, skeleton = tree.take(one.memory)
    back = tree.put(arrays, skeleton, tree.classes_of(part.init(WORLD, SENT)))
    before = {name: array.tobytes() for name, array in arrays.items()}
    asks = making(clients(seed=4), round=1, average=vector(30))
    there, here = part.make(WORLD, back, asks), part.make(WORLD, one.memory, asks)
    assert there.expert.tobytes() == here.expert.tobytes()
    assert {name: array.tobytes() for name, array in tree.take(one.memory)[0].items()} == before
    assert not here.memory.counts.flags.writeable


def test_no_torch_is_loaded():
    import subprocess
    import sys

    code = "import sys, disue.parts.expert as e; e.Distil(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
