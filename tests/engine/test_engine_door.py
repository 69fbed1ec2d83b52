"""What comes through the plain door, against numpy; and what does not."""

import numpy as np
import pytest
from engine_bed import EVERY, IDS, SIZES, Erm, Phased, bed

from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import WHOLE, Part
from disue.core.orders import Report, Sight

LOCAL = Erm(epochs=1, batch=5, lr=0.2)
GROUPS = Groups.make({4001: 2, 17: 5, 902: 2, 33: 5}, numbers=[7])
ORDER = sorted(IDS)
HEAD = Part.of("head")


def updates(b, uploads):
    return {i: uploads.ends[i].astype(np.float64) - b.start for i in ORDER}


def test_sums_are_weighted_by_samples_about_the_origin():
    b = bed("mlp")
    uploads = b.train(LOCAL)
    moved, sums = updates(b, uploads), uploads.sums(GROUPS)
    assert sums.numbers.tolist() == [2, 5, 7]
    assert sums.counts.tolist() == [2, 1, 0] and sums.weights.tolist() == [19.0, 23.0, 0.0]
    np.testing.assert_allclose(sums.totals[0], 12 * moved[902] + 7 * moved[4001], rtol=1e-12)
    np.testing.assert_allclose(sums.totals[1], 23 * moved[17], rtol=1e-12)
    assert not sums.totals[2].any()
    by_id = np.zeros(b.layout.d)
    for i in ORDER:  # one fixed order, not a sum of sums
        by_id += SIZES[i] * moved[i]
    assert np.array_equal(sums.whole, by_id)


def test_uniform_weights_and_plain_ends_without_an_origin():
    b = bed("mlp")
    starts = np.stack([b.start, b.start + np.float32(0.5)])
    report = Report(sight=frozenset({Sight.SUMS}), weights="uniform")
    which = np.array([[0], [1], [1]])
    uploads = b.train(LOCAL, starts=starts, which=which, report=report)
    sums = uploads.sums(GROUPS)
    assert sums.weights.tolist() == [2.0, 1.0, 0.0]
    ends = uploads.ends
    np.testing.assert_allclose(sums.totals[0], ends[902].astype(np.float64) + ends[4001], rtol=1e-12)


def test_who_is_in_no_group_counts_nowhere():
    b = bed("mlp")
    uploads = b.train(LOCAL)
    sums = uploads.sums(Groups.make({17: 0}))
    assert sums.counts.tolist() == [1] and np.array_equal(sums.whole, sums.totals[0])


@pytest.mark.parametrize("of", [WHOLE, HEAD])
def test_gram_and_cosine_are_about_each_start(of):
    b = bed("normed")
    starts = np.stack([b.start, b.start + np.float32(0.01)])
    which = np.array([[1], [0], [1]])
    uploads = b.train(LOCAL, starts=starts, which=which)
    mask = b.layout.mask(of)
    assert mask.sum() < b.layout.d  # statistics are never compared
    own = dict(zip(IDS, which[:, 0], strict=True))
    rows = np.stack([uploads.ends[i].astype(np.float64) - starts[own[i]] for i in ORDER])[:, mask]
    gram = uploads.gram(of, anchors=starts)
    assert gram.ids.tolist() == ORDER
    np.testing.assert_allclose(gram.values, rows @ rows.T, rtol=1e-10)
    assert np.array_equal(gram.values, gram.values.T)
    anchors = starts[:, mask].astype(np.float64)
    np.testing.assert_allclose(gram.anchors, anchors @ rows.T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(gram.squares, anchors @ anchors.T, rtol=1e-10)
    norms = np.linalg.norm(rows, axis=1)
    np.testing.assert_allclose(uploads.cosine(of).values, rows @ rows.T / np.outer(norms, norms), atol=1e-12)


def test_a_client_that_does_not_move_has_cosine_zero():
    b = bed("mlp")

    class Still(Phased):
        def finish(self, ends, steps, context, order):
            done = super().finish(ends, steps, context, order)
            return done if order.id != 17 else type(done)(order.start)

    values = b.train(Still()).cosine().values
    assert values[0].tolist() == [1.0, 0.0, 0.0] and 0 < abs(values[1, 2]) < 1


def test_labels_are_exact_counts():
    b = bed("mlp")
    counts = b.train(LOCAL).labels(GROUPS)
    assert counts.dtype == np.int64
    of = {i: np.bincount(b.held.train(i)[1], minlength=4) for i in IDS}
    assert np.array_equal(counts, np.stack([of[4001] + of[902], of[17], 0 * of[17]]))


def features(b, vector, client):
    """Features of the mlp bed by hand, float64."""
    x = b.held.train(client)[0].astype(np.float64)
    w, bias = (b.layout.tensor(vector, name).astype(np.float64) for name in ("fc1.weight", "fc1.bias"))
    return np.maximum(x @ w.T + bias, 0)


@pytest.mark.parametrize("per_class", [False, True])
def test_moments_against_numpy(per_class):
    b = bed("mlp")
    uploads = b.train(LOCAL)
    fresh = (b.start + uploads.sums(GROUPS).whole_mean()).astype(np.float32)
    found = uploads.moments(GROUPS, fresh, b.start, per_class=per_class)
    f = b.layout.features
    for row, members in enumerate(([4001, 902], [17], [])):
        y = np.concatenate([b.held.train(i)[1] for i in members] or [np.zeros(0, int)])
        phi = np.concatenate([features(b, fresh, i) for i in members] or [np.zeros((0, f))])
        assert found.counts[row].tolist() == np.bincount(y, minlength=4).tolist()
        for label in range(4):
            of = phi[y == label]
            np.testing.assert_allclose(found.sums[row, label], of.sum(0), atol=1e-4)
            if per_class:
                np.testing.assert_allclose(found.second[row, label], of.T @ of, atol=1e-4)
        if not per_class:
            np.testing.assert_allclose(found.second[row], phi.T @ phi, atol=1e-4)
            # the pooled scatter within classes, as the discriminant takes it from these sums
            some = found.counts[row] > 0
            between = sum(
                np.outer(s, s) / n for s, n in zip(found.sums[row][some], found.counts[row][some], strict=True)
            )
            direct = sum((((phi[y == c] - phi[y == c].mean(0)).T @ (phi[y == c] - phi[y == c].mean(0)))
                          for c in np.unique(y)), np.zeros((f, f)))  # fmt: skip
            np.testing.assert_allclose(found.second[row] - between, direct, atol=1e-4)
    old = np.concatenate([features(b, b.start, i) for i in ORDER])
    new = np.concatenate([features(b, fresh, i) for i in ORDER])
    tilde = np.concatenate([old, np.ones((len(old), 1))], axis=1)
    np.testing.assert_allclose(found.cross_xx, tilde.T @ tilde, atol=1e-4)
    np.testing.assert_allclose(found.cross_xy, tilde.T @ new, atol=1e-4)
    assert found.cross_xx[-1, -1] == sum(SIZES.values()) and not found.stale


def test_moments_under_what_each_received():
    b = bed("mlp")
    starts = np.stack([b.start, b.start * np.float32(0.5)])
    uploads = b.train(LOCAL, starts=starts, which=np.array([[0], [1], [1]]))
    found = uploads.moments(GROUPS)
    assert found.cross_xx is None and found.cross_xy is None
    np.testing.assert_allclose(found.sums[1].sum(0), features(b, starts[1], 17).sum(0), atol=1e-5)
    one = features(b, starts[0], 4001).sum(0) + features(b, starts[1], 902).sum(0)
    np.testing.assert_allclose(found.sums[0].sum(0), one, atol=1e-5)


def test_moments_are_measured_with_the_statistics_of_the_vector():
    b = bed("normed")
    uploads = b.train(LOCAL)
    other = b.start.copy()
    other[b.layout.slices["norm.running_mean"]] = 50.0  # all features off
    assert not uploads.moments(GROUPS, other).sums.any()
    assert uploads.moments(GROUPS, b.start).sums.any()


def test_the_door_shows_what_was_asked_for_and_nothing_else():
    b = bed("mlp")
    uploads = b.train(LOCAL, report=Report(sight=frozenset({Sight.COSINE}), parts=(HEAD,)))
    uploads.cosine(HEAD)
    questions = {
        "sums": lambda: uploads.sums(GROUPS),
        "gram": lambda: uploads.gram(HEAD),
        "choice": lambda: uploads.choice(),
        "labels": lambda: uploads.labels(GROUPS),
        "moments": lambda: uploads.moments(GROUPS),
        "vectors": lambda: uploads.vectors(),
    }
    for found, question in questions.items():
        with pytest.raises(UserError, match="plain door") as caught:
            question()
        assert (caught.value.key, caught.value.found) == ("report.sight", found)
    with pytest.raises(UserError) as caught:
        uploads.cosine(WHOLE)
    assert caught.value.key == "report.parts"
    with pytest.raises(UserError) as caught:
        b.train(LOCAL).vectors("bases")
    assert caught.value.key == "report.extras"


def test_vectors_are_updates():
    b = bed("mlp")
    uploads = b.train(LOCAL)
    expected = np.stack([uploads.ends[i] - b.start for i in ORDER])
    assert np.array_equal(uploads.vectors(), expected)


def test_vectors_are_ends_and_starts_too():
    b = bed("mlp")
    starts = np.stack([b.start, b.start + np.float32(0.5)])
    report = Report(sight=frozenset({Sight.VECTORS}))
    uploads = b.train(LOCAL, starts=starts, which=np.array([[0], [1], [1]]), report=report)
    assert np.array_equal(uploads.vectors("end"), np.stack([uploads.ends[i] for i in ORDER]))
    assert np.array_equal(uploads.vectors("start"), np.stack([answer.start for answer in uploads.answers]))
    assert np.array_equal(uploads.vectors("end") - uploads.vectors("start"), uploads.vectors())
    assert sorted({row.tobytes() for row in uploads.vectors("start")}) == sorted(row.tobytes() for row in starts)


def test_the_finest_rows_are_clients_and_their_moments_sum_up_to_all():
    b = bed("mlp")
    uploads = b.train(LOCAL, report=Report(sight=frozenset({Sight.MOMENTS})))
    rows = uploads.finest()
    assert [rows.members(number).tolist() for number in rows.numbers.tolist()] == [[i] for i in ORDER]
    one, whole = uploads.moments(rows, b.start), uploads.moments(Groups.one(uploads.ids), b.start)
    assert np.array_equal(one.counts.sum(axis=0), whole.counts[0])
    np.testing.assert_allclose(one.second.sum(axis=0), whole.second[0], rtol=1e-12)


def test_traffic_counts_each_vector_once():
    b = bed("mlp")
    d, f, classes, n = b.layout.d, b.layout.features, 4, 3
    report = Report(sight=EVERY.sight - {Sight.CHOICE})
    uploads = b.train(LOCAL, report=report, extras={"c": np.zeros(d, np.float32)})
    assert uploads.bytes_down == n * 4 * 2 * d and uploads.bytes_up == n * 4 * d
    before = uploads.bytes_down
    everybody = Groups.one(uploads.ids)
    uploads.moments(everybody, b.start, b.start)  # held already: nothing goes down
    assert uploads.bytes_down == before
    up = 8 * classes + 4 * (classes * f + f * (f + 1) // 2 + (f + 1) * (f + 2) // 2 + (f + 1) * f)
    assert uploads.bytes_up == n * (4 * d + up)
    fresh = b.start + np.float32(1)
    uploads.moments(everybody, fresh)
    uploads.moments(everybody, fresh)
    assert uploads.bytes_down == before + n * 4 * d
    up, _ = uploads.bytes_up, (uploads.labels(everybody), uploads.labels(everybody))
    assert uploads.bytes_up == up + n * 8 * classes
    assert uploads.client_seconds > 0


def test_a_survey_of_the_head_sends_the_head():
    b = bed("mlp")
    report = Report(sight=frozenset({Sight.COSINE}), parts=(HEAD,))
    assert b.train(LOCAL, report=report).bytes_up == 3 * 4 * (4 * 6 + 4)


def test_several_starts_are_sent_once_each_and_a_choice_is_a_number():
    b = bed("mlp")
    starts = np.stack([b.start, b.start + np.float32(1)])
    report = Report(sight=frozenset({Sight.CHOICE}), choice="loss")
    uploads = b.train(LOCAL, starts=starts, which=np.array([[0, 1]] * 3), report=report)
    assert uploads.bytes_down == 3 * 2 * 4 * b.layout.d and uploads.bytes_up == 3 * 8
