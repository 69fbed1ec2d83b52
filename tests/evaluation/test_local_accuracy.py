import numpy as np
import pytest

from disue.core.priors import log_shares
from disue.evaluation import local
from disue.evaluation.accuracy import tally
from disue.evaluation.local import (
    majority,
    on_own,
    proportional,
    shares_of,
    spread,
    with_prior,
)


def some(n=300, classes=4, clients=7, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)).astype(np.float32)
    logits[np.arange(n), y] += 1.0
    counts = rng.integers(0, 30, (clients, classes)) * (rng.random((clients, classes)) < 0.6)
    counts[:, 0] += 1
    return tally(logits, y, classes), shares_of(counts), counts


def test_proportional_is_the_share_weighted_mean_of_class_accuracies():
    # class 0: 1 of 2 right, class 1: 1 of 1, class 2: none of 1
    logits = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]], np.float32)
    scored = tally(logits, np.array([0, 0, 1, 2]), 3)
    shares = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5]])
    assert proportional(scored, shares).tolist() == pytest.approx([50.0, 75.0, 40.0])
    assert scored.accuracy == 50.0 and scored.by_class.tolist() == [0.5, 1.0, 0.0]


def test_classes_that_the_pool_has_not_are_left_out():
    scored = tally(np.array([[1, 0, 0], [1, 0, 0]], np.float32), np.array([0, 1]), 3)
    shares = np.array([[0.3, 0.1, 0.6], [0.0, 0.0, 1.0]])
    found = proportional(scored, shares)
    assert found[0] == pytest.approx(75.0) and np.isnan(found[1])
    assert np.isnan(with_prior(scored, shares, shares)[1])


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_prior_against_a_loop(scale):
    scored, shares, _ = some()
    expected = []
    for q in shares:
        right = (scored.logits / np.float32(scale) + log_shares(q).astype(np.float32)).argmax(1) == scored.labels
        expected.append(100 * sum(q[c] * right[scored.labels == c].mean() for c in range(4) if q[c] > 0))
    assert with_prior(scored, shares, shares, scale) == pytest.approx(expected, rel=1e-12)


def test_scale_matters():
    scored, shares, _ = some()
    assert not np.allclose(with_prior(scored, shares, shares, 1.0), with_prior(scored, shares, shares, 0.1))


def test_equal_logits_are_the_first_class_in_both_ways():
    logits = np.zeros((4, 3), np.float32)
    scored = tally(logits, np.array([0, 1, 2, 0]), 3)
    flat = np.full((1, 3), 1 / 3)
    assert scored.correct.tolist() == [2, 0, 0]
    assert with_prior(scored, flat, flat) == pytest.approx(proportional(scored, flat))


def test_log_shares_by_hand():
    # (0.9 + 0.01) / (1 + 0.02), (0.1 + 0.01) / (1 + 0.02)
    assert np.exp(log_shares(np.array([[0.9, 0.1]]))) == pytest.approx(np.array([[0.91, 0.11]]) / 1.02)


def test_own_samples_with_the_prior():
    logits = np.array([[0.0, 1.0], [0.0, 1.0]], np.float32)
    y = np.array([0, 1])
    two, one, zeros = np.array([2]), np.array([[1.0, 0.0]]), np.array([0, 0])
    assert on_own(logits, y, two) == [50.0]
    assert on_own(logits, y, two, one) == [50.0]  # log(1.01 / 0.01) = 4.6 turns both to class 0
    assert on_own(logits, zeros, two, one) == [100.0]
    assert on_own(logits, zeros, two, one, 0.1) == [0.0]  # 10 logits against 4.6
    assert on_own(logits, y, np.array([1, 0, 1]))[[0, 2]].tolist() == [0.0, 100.0]  # client after client
    assert np.isnan(on_own(logits, y, np.array([1, 0, 1]))[1])
    assert np.isnan(on_own(logits[:0], y[:0], np.array([0]))).all()


def test_majority_takes_the_training_class_and_the_test_share():
    counts = np.array([[5, 3, 0], [1, 1, 0], [0, 0, 0]])
    shares = np.array([[0.2, 0.5, 0.3], [0.6, 0.4, 0.0], [1.0, 0.0, 0.0]])
    found = majority(counts, shares)
    assert found[:2].tolist() == pytest.approx([20.0, 60.0]) and np.isnan(found[2])


def test_spread_leaves_out_who_has_none():
    found = spread("a", np.array([10.0, np.nan, 20.0, 40.0]))
    assert found == pytest.approx({"a": 70 / 3, "a_p10": 12.0, "a_p50": 20.0, "a_worst": 10.0})
    assert spread("a", np.array([np.nan])) == {}


def test_the_prior_in_blocks_is_the_prior_client_by_client(monkeypatch):
    """Ties and empty classes included, whatever the number of clients looked at together."""
    rng = np.random.default_rng(3)
    logits = rng.integers(-2, 3, (60, 4)).astype(np.float32)
    y = rng.integers(0, 3, 60)  # class 3 is not in the pool
    counts = rng.integers(0, 3, (17, 4)) * rng.integers(0, 2, (17, 4))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    expected = []
    for p in shares:
        kept = p[:3].sum()
        answer = (logits / np.float32(0.5) + log_shares(p).astype(np.float32)).argmax(1)
        parts = [p[c] / kept * (answer[y == c] == c).mean() for c in range(3)] if kept else [np.nan]
        expected.append(100 * sum(parts))
    scored = tally(logits, y, 4)
    for block in (1, 70, 2**18):
        monkeypatch.setattr(local, "BLOCK", block)
        assert with_prior(scored, shares, shares, 0.5) == pytest.approx(np.array(expected), nan_ok=True)
