"""The store's rules and the numerics of the heads, against references written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from disue.core import tree
from disue.core.errors import UserError
from disue.core.streams import Streams
from disue.core.uploads import Moments
from disue.parts.expert import heads, store
from disue.parts.expert.heads import Head, Teaching

RNG = np.random.default_rng


def sums(features, labels, classes, *, numbers=(0,), of=None, per_class=False):
    """Moments of groups by their definition; `of` is the group of each row."""
    of = np.zeros(labels.size, int) if of is None else of
    width = features.shape[1]
    counts = np.zeros((len(numbers), classes), np.int64)
    total = np.zeros((len(numbers), classes, width))
    second = np.zeros((len(numbers), classes, width, width))
    for row, number in enumerate(numbers):
        for label in range(classes):
            mine = features[(of == number) & (labels == label)]
            counts[row, label] = mine.shape[0]
            total[row, label] = mine.sum(axis=0)
            second[row, label] = mine.T @ mine
    return Moments(np.array(numbers, np.int64), counts, total, second if per_class else second.sum(axis=1))


def gaussians(seed=0, amount=400, classes=4, width=3, mean=1.0):
    """Classes with one skewed covariance, unequal sizes and a mean away from zero."""
    rng = RNG(seed)
    labels = rng.choice(classes, size=amount, p=np.arange(1, classes + 1) / sum(range(1, classes + 1)))
    root = np.tril(rng.normal(size=(width, width))) + 1.5 * np.eye(width)
    centres = mean + 2 * rng.normal(size=(classes, width))
    return centres[labels] + rng.normal(size=(amount, width)) @ root.T, labels


def kept_from(moments, classes, width):
    return store.refreshed(store.empty(classes, width), store.measured(moments), 0.9)


# -- a round's moments ---------------------------------------------------------------------------------


def test_measured_is_means_and_scatter_within_classes():
    x, y = gaussians()
    new = store.measured(sums(x, y, 6))  # classes 4 and 5 are absent
    means = np.array([x[y == c].mean(axis=0) for c in range(4)])
    centred = x - means[y]
    np.testing.assert_allclose(new.means[:4], means, rtol=1e-12)
    assert not new.means[4:].any() and new.counts.tolist() == [*np.bincount(y), 0, 0]
    np.testing.assert_allclose(new.scatter, centred.T @ centred, rtol=1e-10)
    assert new.freedom == y.size - 4 and (new.scatter == new.scatter.T).all()


@pytest.mark.hand("disue", "disue-purity")
def test_groups_are_mixed_per_class_and_the_scatter_is_not():
    # one feature; group 0: class 0 at 1 (three times), class 1 at 5; group 7: class 0 at 9 (once)
    x = np.array([[1.0], [1.0], [1.0], [5.0], [9.0]])
    y, of = np.array([0, 0, 0, 1, 0]), np.array([0, 0, 0, 0, 7])
    moments = sums(x, y, 3, numbers=(0, 3, 7), of=of)
    assert store.measured(moments, "count").means.ravel().tolist() == [3.0, 5.0, 0.0]
    assert store.measured(moments, "uniform").means.ravel().tolist() == [5.0, 5.0, 0.0]
    assert store.measured(moments, "uniform-all").means.ravel().tolist() == [5.0, 5.0, 0.0]
    # purity: 3 · ¾ against 1 · 1 → (2.25 · 1 + 1 · 9) / 3.25
    purity = store.measured(moments, "purity", {"power": 1.0})
    assert purity.means[0, 0] == pytest.approx(11.25 / 3.25)
    # about the pooled mean 3: 3 · (1 − 3)² + (9 − 3)² = 48, four samples less one class, class 1 adds none
    assert purity.scatter[0, 0] == pytest.approx(48.0) and purity.freedom == 3.0


def test_floor_leaves_small_classes_out_of_the_means_only():
    x = np.array([[1.0], [2.0], [6.0]])
    new = store.measured(sums(x, np.array([0, 0, 1]), 2), floor=2)
    assert new.counts.tolist() == [2.0, 0.0] and new.means.ravel().tolist() == [1.5, 0.0]
    assert new.scatter[0, 0] == pytest.approx(0.5) and new.freedom == 1.0


def test_per_class_scatters_add_up_to_the_pooled_one():
    x, y = gaussians()
    new = store.measured(sums(x, y, 5, per_class=True), per_class=True)
    for c in range(4):
        mine = x[y == c] - x[y == c].mean(axis=0)
        np.testing.assert_allclose(new.own[c], mine.T @ mine, atol=1e-9)
    np.testing.assert_allclose(new.own.sum(axis=0), new.scatter, atol=1e-9)
    assert new.own_freedom.tolist() == [*(np.bincount(y) - 1), 0]


def test_check_names_the_shapes():
    moments = sums(*gaussians(), 4)
    with pytest.raises(UserError):
        store.check(moments, 5, 3)
    with pytest.raises(UserError):
        store.check(Moments(moments.numbers, moments.counts, moments.sums, np.zeros((1, 2, 2))), 4, 3)


# -- the store -----------------------------------------------------------------------------------------


def test_classes_decay_when_they_are_refreshed_and_not_otherwise():
    """λ = ½; one feature. Round 1: class 0 at 2 and 4, class 1 at 10. Round 2: class 0 at 8."""
    first = sums(np.array([[2.0], [4.0], [10.0]]), np.array([0, 0, 1]), 3)
    second = sums(np.array([[8.0]]), np.array([0]), 3)
    kept = store.refreshed(store.empty(3, 1), store.measured(first), 0.5)
    assert kept.counts.tolist() == [2.0, 1.0, 0.0] and kept.sums.ravel().tolist() == [6.0, 10.0, 0.0]
    assert kept.scatter.tolist() == [[2.0]] and kept.freedom == 1.0  # (2−3)² + (4−3)²
    after = store.refreshed(kept, store.measured(second), 0.5)
    assert after.counts.tolist() == [2.0, 1.0, 0.0]  # ½ · 2 + 1; untouched; never seen
    assert after.sums.ravel().tolist() == [11.0, 10.0, 0.0]  # ½ · 6 + 8
    assert after.scatter.tolist() == [[1.0]] and after.freedom == 0.5  # decay always
    assert after.seen.tolist() == [True, True, False] and after.means.ravel().tolist() == [5.5, 10.0, 0.0]
    assert kept.counts.tolist() == [2.0, 1.0, 0.0]  # the old value is still the old value
    with pytest.raises(ValueError):
        after.counts[0] = 1.0


def test_store_survives_the_state_tree():
    kept = kept_from(sums(*gaussians(), 5), 5, 3)
    arrays, skeleton = tree.take(kept)
    back = tree.put(arrays, skeleton, tree.classes_of(kept))
    assert tree.take(back)[1] == skeleton
    assert all(a.tobytes() == b.tobytes() for a, b in zip(arrays.values(), tree.take(back)[0].values(), strict=True))


# -- transport -----------------------------------------------------------------------------------------


def cross(old, new):
    joint = np.concatenate([old, np.ones((old.shape[0], 1))], axis=1)
    return joint.T @ joint, joint.T @ new


@pytest.mark.parametrize("seed", range(3))
def test_an_affine_drift_is_recovered_and_the_store_follows(seed):
    """Old features φ, new ones A φ + t: what was stored from the old ones is what the new ones would store."""
    x, y = gaussians(seed, mean=4.0)
    rng = RNG(100 + seed)
    slope, shift = np.eye(3) + 0.3 * rng.normal(size=(3, 3)), rng.normal(size=3)
    moved = x @ slope + shift
    affine = store.drift(*cross(x, moved), 0.0)
    np.testing.assert_allclose(affine, np.concatenate([slope, shift[None]]), atol=1e-8)
    carried = store.moved(kept_from(sums(x, y, 5), 5, 3), affine, positive=False)
    expected = kept_from(sums(moved, y, 5), 5, 3)
    np.testing.assert_allclose(carried.means, expected.means, atol=1e-7)
    np.testing.assert_allclose(carried.scatter, expected.scatter, rtol=1e-7)
    assert not carried.means[4].any() and carried.counts.tolist() == expected.counts.tolist()


def test_the_ridge_pulls_towards_nothing_moved():
    x, _ = gaussians()
    moved = 1.5 * x + 1.0
    distances = [np.linalg.norm(store.drift(*cross(x, moved), ridge) - np.eye(4, 3)) for ridge in (0.0, 1e-2, 1.0, 1e6)]
    assert distances == sorted(distances, reverse=True) and distances[-1] < 1e-2
    reference = np.eye(4, 3) + np.linalg.solve(
        cross(x, moved)[0] + 0.01 * np.trace(x.T @ x) / 3 * np.eye(4),
        cross(x, moved)[1] - cross(x, moved)[0] @ np.eye(4, 3),
    )
    np.testing.assert_allclose(store.drift(*cross(x, moved), 0.01), reference, atol=1e-10)


def test_without_drift_nothing_moves_a_bit():
    x, y = gaussians()
    x = np.round(8 * x) / 8  # products are then exact, whatever order the processor's BLAS sums them in
    affine = store.drift(*cross(x, x), 0.01)
    assert (affine == np.eye(4, 3)).all()
    kept = kept_from(sums(x, y, 5), 5, 3)
    assert store.moved(kept, affine, positive=False).scatter.tobytes() == kept.scatter.tobytes()


def test_means_stay_positive_only_behind_a_relu():
    kept = kept_from(sums(np.array([[1.0], [3.0]]), np.array([0, 1]), 2), 2, 1)
    down = np.array([[1.0], [-2.0]])
    assert store.moved(kept, down, positive=True).means.ravel().tolist() == [0.0, 1.0]
    assert store.moved(kept, down, positive=False).means.ravel().tolist() == [-1.0, 1.0]


# -- numerics ------------------------------------------------------------------------------------------


def test_cholesky_jitters_and_gives_up():
    sound = np.array([[4.0, 1.0], [1.0, 3.0]])
    np.testing.assert_allclose(heads.cholesky(sound), np.linalg.cholesky(sound))
    singular = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    root = heads.cholesky(singular)
    assert root is not None and (np.diag(root) > 0).all()
    np.testing.assert_allclose(root @ root.T, singular, atol=1e-4)
    assert heads.cholesky(np.diag([1.0, -5.0])) is None
    assert heads.cholesky(np.array([[np.nan]])) is None
    assert heads.solve(np.diag([1.0, -5.0]), np.ones((2, 1))) is None
    assert heads.solve(np.eye(2), np.array([[np.inf], [0.0]])) is None


def test_shrinkage_rises_while_there_is_little_freedom():
    assert heads.shrinkage(0.1, 1000, 64) == pytest.approx(0.1)
    assert heads.shrinkage(0.1, 128, 64) == pytest.approx(0.1)
    assert heads.shrinkage(0.1, 64, 64) == pytest.approx(0.55)  # half way to 1
    assert heads.shrinkage(0.1, 0, 64) == 1.0


def test_a_dead_feature_gets_no_weight():
    x, y = gaussians()
    x[:, 1] = 0.0
    new = store.measured(sums(x, y, 4))
    for gamma in (0.0, 0.1):
        made = heads.discriminant(new.means, heads.covariance(new.scatter, new.freedom, gamma), np.ones(4) / 4)
        assert np.isfinite(made.weight).all() and np.abs(made.weight[:, 1]).max() < 1e-8


# -- heads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.7])
def test_discriminant_is_that_of_scikit_learn(gamma):
    """Their covariance divides by n, ours by n − C; both shrink towards the mean variance."""
    x, y = gaussians(5, amount=300)
    new = store.measured(sums(x, y, 4))
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=gamma).fit(x, y)
    sigma = heads.covariance(new.scatter, float(y.size), gamma)
    made = heads.discriminant(new.means, sigma, new.counts / new.counts.sum())
    np.testing.assert_allclose(made.weight, theirs.coef_, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(made.bias, theirs.intercept_, rtol=1e-4, atol=1e-6)


def test_discriminant_against_plain_numpy():
    x, y = gaussians(6)
    means = np.array([x[y == c].mean(axis=0) for c in range(4)])
    within = (x - means[y]).T @ (x - means[y]) / (y.size - 4)
    sigma = 0.9 * within + 0.1 * np.trace(within) / 3 * np.eye(3) + 1e-6 * np.eye(3)
    new = store.measured(sums(x, y, 4))
    made = heads.discriminant(new.means, heads.covariance(new.scatter, new.freedom, 0.1), np.ones(4) / 4)
    inverse = np.linalg.inv(sigma)
    np.testing.assert_allclose(made.weight, means @ inverse, rtol=1e-9)
    np.testing.assert_allclose(made.bias, [-0.5 * m @ inverse @ m + np.log(0.25) for m in means], rtol=1e-9)


def test_ridge_is_weighted_least_squares_on_the_samples():
    """Each class counting q_c in all: the same regression from the rows themselves, within a factor n."""
    x, y = gaussians(7, amount=200)
    new = store.measured(sums(x, y, 4))
    # With q_c = N_c / n the moments are those of all rows over n, up to the divisor of the scatter.
    made = heads.ridge(new.means, new.scatter / y.size, new.counts / y.size, 0.1)
    joint = np.concatenate([x, np.ones((200, 1))], axis=1)
    penalty = 0.1 * np.trace(x.T @ x) / 3 * np.diag([1.0, 1.0, 1.0, 0.0])
    direct = np.linalg.solve(joint.T @ joint + penalty, joint.T @ np.eye(4)[y])
    np.testing.assert_allclose(made.weight, direct[:3].T, rtol=1e-8)
    np.testing.assert_allclose(made.bias, direct[3], rtol=1e-8)


def test_virtual_features_have_the_moments_they_are_drawn_from():
    means = np.array([[1.0, -2.0], [3.0, 0.5]])
    roots = [np.array([[1.0, 0.0], [0.5, 0.7]]), np.array([[0.2, 0.0], [0.0, 2.0]])]
    labels = np.repeat([0, 1], 20000)
    drawn = heads.virtual(means, roots, labels, RNG(0), positive=False)
    for label in (0, 1):
        mine = drawn[labels == label]
        np.testing.assert_allclose(mine.mean(axis=0), means[label], atol=5 * 2.0 / np.sqrt(20000))
        np.testing.assert_allclose(np.cov(mine.T), roots[label] @ roots[label].T, atol=0.15)
    relu = heads.virtual(means, roots[:1], labels, RNG(0), positive=True)
    assert relu.min() == 0.0


def test_confidence_is_the_best_factor():
    rng = RNG(3)
    labels = rng.integers(0, 3, 500)
    logits = np.eye(3)[labels] + rng.normal(size=(500, 3))
    found = heads.confidence(logits, labels)
    best = minimize(lambda a: heads.cross_entropy(a[0] * logits, labels), [1.0]).x[0]
    assert found == pytest.approx(best, rel=1e-2)


def test_taught_head_learns_and_repeats():
    x, y = gaussians(8, amount=600)
    start = Head(np.zeros((4, 3)), np.zeros(4))
    how = Teaching(steps=200)
    made = heads.taught(start, x, y, how, Streams(0)("t"))
    assert heads.cross_entropy(made.logits(x), y) < 0.7 * heads.cross_entropy(start.logits(x), y)
    again = heads.taught(start, x, y, how, Streams(0)("t"))
    assert made.weight.tobytes() == again.weight.tobytes() and not start.weight.any()
    still = heads.taught(start, x, y, Teaching(steps=0), Streams(0)("t"))
    assert not still.weight.any()


def test_first_step_of_teaching_by_hand():
    """Two classes, one feature, one row x = 2 of class 0, from zero: softmax ½, ½; gradient ∓½ · (2, 1)."""
    made = heads.taught(Head(np.zeros((2, 1)), np.zeros(2)), np.array([[2.0]]), np.array([0]), Teaching(1, 0.1), RNG(0))
    assert made.weight.ravel() == pytest.approx([0.1, -0.1]) and made.bias == pytest.approx([0.05, -0.05])
