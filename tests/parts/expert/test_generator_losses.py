"""The masked teacher and the loss terms against a few lines of numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from disue.parts.expert import losses
from disue.parts.expert.teachers import Ledger, Teachers, masked, mixed, trusted


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def said(p, a, seen, kind):
    """p (k, B, C), a (B, C) probabilities → completed probabilities."""
    logits = torch.log(torch.tensor(p, dtype=torch.float64))
    average = torch.log(torch.tensor(a, dtype=torch.float64))
    return masked(logits, average, np.asarray(seen, bool), kind, 1.0).exp().numpy()


P, A = [[[0.5, 0.1, 0.4]]], [[0.4, 0.4, 0.2]]


@pytest.mark.hand("disue-generator")
@pytest.mark.parametrize(
    ("kind", "seen", "expected"),
    [
        ("shape", [1, 1, 0], [0.5, 0.1, 0.4]),  # one missing class keeps the teacher's mass
        ("anchor", [1, 1, 0], [0.8 * 0.5 / 0.6, 0.8 * 0.1 / 0.6, 0.2]),
        ("shape", [1, 0, 0], [0.5, 1 / 3, 1 / 6]),
        ("anchor", [1, 0, 0], [0.4, 0.4, 0.2]),  # a one-class teacher teaches nothing
        ("none", [1, 0, 0], [0.5, 0.1, 0.4]),
    ],
)
def test_masked_teacher_by_hand(kind, seen, expected):
    assert said(P, A, [seen], kind)[0, 0] == pytest.approx(expected, abs=1e-12)


scores = arrays.arrays(np.float64, (2, 3, 4), elements=st.floats(-12, 12))
averages = arrays.arrays(np.float64, (3, 4), elements=st.floats(-12, 12))
classes = arrays.arrays(bool, (2, 4)).filter(lambda seen: seen.any(1).all())


@settings(max_examples=60, deadline=None)
@given(scores, averages, classes, st.sampled_from(["anchor", "shape", "none"]), st.floats(0.5, 20))
def test_masked_teacher_properties(logits, average, seen, kind, temperature):
    args = torch.tensor(logits), torch.tensor(average)
    out = masked(*args, seen, kind, temperature).exp().numpy()
    p, a = softmax(logits / temperature), softmax(average / temperature)
    assert out.sum(-1) == pytest.approx(1.0, abs=1e-9)
    for g in range(2):
        if kind == "shape":
            assert out[g][:, seen[g]] == pytest.approx(p[g][:, seen[g]], abs=1e-12)
        if kind == "anchor":
            assert out[g][:, ~seen[g]] == pytest.approx(a[:, ~seen[g]], abs=1e-12)
        if kind == "anchor" and seen[g].sum() == 1:
            assert out[g] == pytest.approx(a, abs=1e-12)
        if seen[g].all():
            assert (out[g] == masked(*args, seen, "none", temperature).exp().numpy()[g]).all()


def test_a_teacher_sure_of_a_class_it_never_saw_stays_finite_with_its_gradient():
    logits = torch.tensor([[[300.0, 0.0, 1.0]]], requires_grad=True)
    average = torch.zeros(1, 3)
    for kind in ("anchor", "shape"):
        out = mixed(masked(logits, average, np.array([[False, True, True]]), kind, 1.0), torch.ones(1, 1), "logit")
        (gradient,) = torch.autograd.grad(out[0, 1], logits, retain_graph=True)
        assert out.isfinite().all()
        assert gradient.isfinite().all()


def test_mixtures_by_hand():
    # two teachers say (¾, ¼) and (½, ½); the second is believed three times as much
    log = torch.log(torch.tensor([[[0.75, 0.25]], [[0.5, 0.5]]]))
    weights = torch.tensor([[0.25], [0.75]])
    assert mixed(log, weights, "probability").exp()[0].tolist() == pytest.approx([0.5625, 0.4375])
    odds = 3**0.25  # the geometric mixture: (3/1)^¼ · (1/1)^¾
    assert mixed(log, weights, "logit").exp()[0, 0].item() == pytest.approx(odds / (1 + odds))
    alone = torch.tensor([[1.0], [0.0]])
    assert mixed(log, alone, "probability").exp()[0].tolist() == pytest.approx([0.75, 0.25])


def test_the_logit_mixture_without_a_mask_is_the_softmax_of_mixed_logits():
    logits = torch.tensor([[[2.0, 0.0]], [[0.0, 2.0]]])
    log = masked(logits, None, np.ones((2, 2), bool), "none", 1.0)
    assert mixed(log, torch.full((2, 1), 0.5), "logit").exp()[0].tolist() == pytest.approx([0.5, 0.5])


def batch(seed=0):
    rng = np.random.default_rng(seed)
    labels = np.array([0, 2, 1, 1, 0])
    logits, average = rng.normal(size=(2, 5, 3)) * 2, rng.normal(size=(5, 3)) * 2
    weights = rng.dirichlet(np.ones(2), size=5).T
    return labels, logits, average, weights


def ce(logits, labels):
    return -np.log(softmax(logits)[..., np.arange(labels.size), labels])


def test_fidelity_against_numpy():
    labels, logits, average, weights = batch()
    expected = {
        "each": (weights * ce(logits, labels)).sum(0).mean(),  # sample by sample
        "mixture": ce((weights[:, :, None] * logits).sum(0), labels).mean(),
        "average": ce(average, labels).mean(),
    }
    tensors = [torch.tensor(v) for v in (logits, average, labels, weights)]
    for kind, value in expected.items():
        assert losses.fidelity(kind, *tensors).item() == pytest.approx(value, rel=1e-12)
    of_batch_means = weights.mean(1) @ ce(logits, labels).mean(1)
    assert abs(of_batch_means - expected["each"]) > 1e-2  # the fault that loses the weights of samples


@pytest.mark.parametrize("kind", losses.DISAGREEMENTS)
def test_transferability_against_numpy(kind):
    t, q = softmax(batch(1)[1])
    labels = np.array([t[0].argmax(), 0, t[2].argmax(), 1, 2])
    mask = np.ones(5, bool) if kind == "none" else t.argmax(1) != q.argmax(1)
    if kind == "disagree-correct":
        mask = mask & (t.argmax(1) == labels)
    expected = -(mask * (t * np.log(t / q)).sum(1)).mean()
    log_t, log_q = torch.tensor(np.log(t)), torch.tensor(np.log(q))
    found = losses.contested(kind, log_t, log_q, torch.tensor(labels))
    assert found.numpy().astype(bool).tolist() == mask.tolist()
    assert losses.transferability(log_t, log_q, found).item() == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_masks_differ_where_they_should():
    log_t = torch.log(torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.6, 0.4]]))
    log_q = torch.log(torch.tensor([[0.3, 0.7], [0.3, 0.7], [0.7, 0.3]]))
    labels = torch.tensor([0, 1, 0])
    found = {kind: losses.contested(kind, log_t, log_q, labels).tolist() for kind in losses.DISAGREEMENTS}
    assert found == {"none": [1, 1, 1], "disagree": [1, 1, 0], "disagree-correct": [1, 0, 0]}


def test_the_gradient_of_transferability_flows_through_teacher_and_student():
    log_t = torch.log(torch.tensor([[0.6, 0.4]])).requires_grad_()
    log_q = torch.log(torch.tensor([[0.3, 0.7]])).requires_grad_()
    losses.transferability(log_t, log_q, torch.ones(1)).backward()
    assert log_t.grad.abs().sum() > 0
    assert log_q.grad.abs().sum() > 0


def test_diversity_against_numpy():
    rng = np.random.default_rng(2)
    x, z = rng.normal(size=(6, 2, 3)), rng.normal(size=(6, 4))
    apart = np.abs(x[:, None] - x[None]).mean((2, 3))
    asked = ((z[:, None] - z[None]) ** 2).mean(2)
    expected = np.exp(-(apart * asked).sum() / 36)
    assert losses.diversity(torch.tensor(x), torch.tensor(z)).item() == pytest.approx(expected, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(np.float64, (4, 3), elements=st.floats(-3, 3)),
    arrays.arrays(np.float64, (4, 2), elements=st.floats(-4, 4)),
)
def test_diversity_lies_in_zero_one_and_collapse_is_one(x, z):
    assert 0 < losses.diversity(torch.tensor(x), torch.tensor(z)).item() <= 1
    same = np.repeat(x[:1], 4, axis=0)
    assert losses.diversity(torch.tensor(same), torch.tensor(z)).item() == 1


def test_diversity_has_a_finite_gradient_at_collapse():
    x = torch.zeros(3, 2, requires_grad=True)
    losses.diversity(x, torch.randn(3, 2, generator=torch.Generator().manual_seed(0))).backward()
    assert x.grad.isfinite().all()


def test_student_loss_sums_over_classes_and_scales_with_temperature():
    t, q = np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([[0.25, 0.75], [0.9, 0.1]])
    expected = 16 * (0.5 * np.log(2) + 0.5 * np.log(2 / 3)) / 2
    found = losses.student(torch.tensor(np.log(t)), torch.tensor(np.log(q)), 4.0)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_trust_rescales_columns_and_fills_empty_ones():
    alpha = np.array([[0.5, 1.0, 0.0], [0.5, 0.0, 0.0]])
    out = trusted(alpha, np.array([1.0, 0.5]))
    assert out[:, 0] == pytest.approx([2 / 3, 1 / 3])
    assert out[:, 1:].tolist() == [[1.0, 0.5], [0.0, 0.5]]


def test_ledger_keeps_the_last_counts_and_grows_older():
    first = Ledger.empty(2).after(np.array([3, 8]), np.array([[4, 1], [0, 6]]))
    second = first.after(np.array([5, 8, 3]), np.array([[1, 1], [0, 0], [0, 0]]))
    third = second.after(np.array([3, 8]), np.array([[0, 0], [2, 0]]))
    assert second.counts.tolist() == [[1, 1], [0, 6], [4, 1]]
    assert second.ages.tolist() == [0, 1, 1]
    assert (third.counts.tolist(), third.ages.tolist()) == ([[4, 1], [2, 0]], [2, 0])
    assert first.ages.tolist() == [0, 0]


def test_who_cannot_be_distilled():
    alpha, seen = np.ones((2, 1)), np.ones((2, 1), bool)
    one = np.ones((2, 3), np.float32)
    assert Teachers(one[:1], seen[:1], alpha[:1]).why_not() == "1 teacher"
    assert Teachers(one, seen, alpha).why_not() == "all teachers are the same model"
    assert Teachers(one * [[1], [2]], seen, alpha).why_not() == ""
