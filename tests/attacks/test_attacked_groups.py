"""Attacks on groups, and on what an expert is made of, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from attacks_bed import said, told

from disue.attacks import lies
from disue.attacks.expert import FalseCounts, FalseMoments
from disue.attacks.grouped import Capture, FalseChoice, FalseSketch, Wedge, axis_of
from disue.attacks.knowledge import Said
from disue.core.streams import Streams

FREE = np.ones(2, bool)


def flat(client: int, *update: float, **more: bool) -> Said:
    return said(client, *update, moves=FREE, **more)


def test_capture_sends_the_direction_of_those_inside_in_its_own_length() -> None:
    insiders = [flat(17, 2.0, 0.0, inside=True, survey=True), flat(902, 4.0, 0.0, inside=True, survey=True)]
    liar = flat(4001, 0.0, 5.0, survey=True)
    guide = lambda row, inside: np.mean([one.update for one in inside], axis=0)  # noqa: E731
    sent = told(Capture(), [*insiders, liar], [17, 902, 4001], guide=guide)
    assert sent[4001].tolist() == [5.0, 0.0]
    assert sent[17].tolist() == [2.0, 0.0] and sent[902].tolist() == [4.0, 0.0], "those inside tell the truth"


@pytest.mark.parametrize("keep", [-1.0, 0.0, 0.6, 1.0])
def test_capture_keeps_its_cosine_where_updates_are_summed(keep: float) -> None:
    liar = flat(4001, 3.0, 4.0)
    sent = told(Capture(keep, 2.0), [liar], [4001], guide=lambda row, inside: np.array([2.0, 0.0]))[4001]
    # the direction is (1, 0), what is orthogonal in (3, 4) is (0, 1), and twice its length is 10
    assert np.allclose(sent, [10 * keep, 10 * np.sqrt(1 - keep**2)], atol=1e-5)


def test_without_anybody_inside_capture_has_no_direction_and_tells_the_truth() -> None:
    liar = flat(4001, 3.0, 4.0)
    assert told(Capture(), [liar], [4001])[4001].tolist() == [3.0, 4.0]


def test_a_wedge_makes_two_opposite_camps_along_what_differs_most() -> None:
    four = [flat(1, 5.0, 1.0), flat(2, 5.0, 3.0), flat(3, 5.0, -1.0), flat(4, 5.0, -3.0)]
    sent = told(Wedge(2.0), [*four, flat(9, 5.0, 0.0)], [1, 2, 3, 4])
    # means (5, 0): they differ along the second entry alone
    for one in four:
        side = 1.0 if one.update[1] > 0 else -1.0
        assert np.allclose(sent[one.id], [0.0, side * 2 * np.hypot(5.0, one.update[1])], atol=1e-5)
    assert told(Wedge(2.0), [four[0]], [1])[1].tolist() == [-10.0, -2.0]
    assert axis_of(np.ones((3, 2)))[0] is None


def test_a_false_choice_takes_the_targets_model_and_moves_it_by_minus_its_own_update() -> None:
    models = np.array([[0.0, 0.0], [10.0, 20.0]], np.float32)
    liar = Said(4001, models[0], np.array([1.0, 2.0], np.float32), np.array([1.0, 0.0]), models, FREE)
    mole = Said(17, models[1], np.array([11.0, 20.0], np.float32), np.array([0.0, 1.0]), models, FREE, inside=True)
    found = lies(
        FalseChoice(),
        {4001: liar, 17: mole},
        np.array([17, 4001]),
        {4001: 0, 17: 1},
        Streams(0),
        0,
        liked=lambda: 1,
    )
    assert found[4001].choice.tolist() == [0.0, 1.0]
    assert found[4001].start.tolist() == [10.0, 20.0] and found[4001].end.tolist() == [9.0, 18.0]
    assert found[17] is mole


def test_a_false_sketch_shows_one_update_and_sums_another() -> None:
    liar, mole = flat(4001, 3.0, 4.0), flat(17, 0.0, 2.0, inside=True)
    found = lies(
        FalseSketch(-2.0),
        {4001: liar, 17: mole},
        np.array([17, 4001]),
        {4001: 0, 17: 0},
        Streams(0),
        0,
        lambda row, inside: np.mean([one.update for one in inside], axis=0),
    )
    shown, start = found[4001].sketched, found[4001].start
    assert shown is not None and (shown - start).tolist() == [0.0, 5.0]
    assert (found[4001].end - start).tolist() == [-6.0, -8.0]
    assert found[17].sketched is None


# -- class moments ------------------------------------------------------------------------------------------


def measured(x: np.ndarray, y: np.ndarray, classes: int, per_class: bool):
    counts = np.bincount(y, minlength=classes)
    sums = np.stack([x[y == c].sum(0) for c in range(classes)])
    each = np.stack([x[y == c].T @ x[y == c] for c in range(classes)])
    one = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    return counts, sums, each if per_class else each.sum(0), one.T @ one, one.T @ x


X = np.array([[1.0, 0.0], [3.0, 2.0], [5.0, 1.0], [7.0, 5.0], [4.0, 2.0]])
Y = np.array([0, 0, 2, 2, 2])
NONE = np.zeros(0, np.int64)


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_false_moments_are_those_of_samples_mirrored_about_the_centre(scale: float, per_class: bool) -> None:
    means = {c: X[c == Y].mean(0) for c in (0, 2)}
    centre = X.mean(0)
    moved = np.stack([x - means[c] + centre - scale * (means[c] - centre) for x, c in zip(X, Y.tolist(), strict=True)])
    found = FalseMoments(scale).moments(measured(X, Y, 3, per_class), NONE)
    wanted = measured(moved, Y, 3, per_class)
    for mine, theirs in zip(found[:3], wanted[:3], strict=True):
        assert np.allclose(mine, theirs)
    assert found[0].tolist() == [2, 0, 3]


@pytest.mark.parametrize("per_class", [False, True])
def test_false_counts_are_those_of_more_samples_at_the_mean(per_class: bool) -> None:
    more = np.concatenate([X, np.repeat(X.mean(0)[None], 10, axis=0)])
    found = FalseCounts(1, 2.0).moments(measured(X, Y, 3, per_class), NONE)
    wanted = measured(more, np.concatenate([Y, np.full(10, 1)]), 3, per_class)
    for mine, theirs in zip(found, wanted, strict=True):
        assert np.allclose(mine, theirs)
    assert FalseCounts(1, 2.0).counts(np.array([2, 0, 3])).tolist() == [2, 10, 3]


def test_a_class_that_is_held_back_is_not_claimed() -> None:
    true = measured(X, Y, 3, False)
    assert FalseCounts(1, 2.0).moments(true, np.array([1])) is true
    assert FalseMoments().moments((np.zeros(3, np.int64), *true[1:]), NONE)[1] is true[1]
