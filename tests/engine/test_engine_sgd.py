"""Local training against references written in numpy, and the identities of federated averaging."""

from dataclasses import replace

import numpy as np
import pytest
from engine_bed import IDS, SIZES, Erm, bed, clients

from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.streams import Streams
from disue.engine.batches import batches

BACKENDS = ("loop", "lean")


def slope(w, b, x, y):
    """Gradient of mean cross-entropy of softmax regression, float64."""
    z = x @ w.T + b
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return np.concatenate([(p.T @ x / len(y)).ravel(), p.mean(0)])


def sgd(start, x, y, client, *, lr, epochs, batch, momentum=0.0, decay=0.0, clip=0.0, steps=0, seed=0, round=3):
    """Textbook SGD on logistic regression (weights (4, 5), then biases), with the batches of the streams."""
    v, theta, made = np.zeros(24), start.astype(np.float64), 0
    x = x.astype(np.float64)
    n = len(y)
    cuts = [(a, min(a + batch, n)) for a in range(0, n, batch)]
    passes = -(-steps // len(cuts)) if steps else epochs
    table = Streams(seed)("batches", round, client).random((passes, n))
    for row in table:
        order = np.argsort(row, kind="stable")
        for a, b in cuts:
            if steps and made == steps:
                break
            take = order[a:b]
            g = slope(theta[:20].reshape(4, 5), theta[20:], x[take], y[take])
            norm = np.linalg.norm(g)
            if clip and norm > clip:
                g = g * clip / norm
            g = g + decay * theta
            v = momentum * v + g
            theta = theta - lr * v
            made += 1
    return theta, made


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_full_batch_step_is_the_pooled_gradient(backend):
    b = bed("linear")
    local = Erm(epochs=1, batch=1000, lr=0.5)
    uploads = b.train(local, backend)
    x = np.concatenate([b.held.train(i)[0] for i in IDS]).astype(np.float64)
    y = np.concatenate([b.held.train(i)[1] for i in IDS])
    start = b.start.astype(np.float64)
    expected = start - 0.5 * slope(start[:20].reshape(4, 5), start[20:], x, y)
    found = b.start + uploads.sums(Groups.one(uploads.ids)).whole_mean()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert uploads.steps == dict.fromkeys(sorted(IDS), 1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "given",
    [
        {"lr": 0.1, "epochs": 3, "batch": 5},
        {"lr": 0.1, "epochs": 2, "batch": 5, "momentum": 0.9, "decay": 0.05, "clip": 0.3},
        {"lr": 0.3, "epochs": 1, "batch": 4, "clip": 0.5, "momentum": 0.5},
        {"lr": 0.2, "epochs": 9, "batch": 5, "steps": 8, "decay": 0.1},
    ],
)
def test_sgd_against_numpy(backend, given):
    b = bed("linear")
    local = Erm(
        lr=given["lr"],
        epochs=given["epochs"],
        batch=given["batch"],
        momentum=given.get("momentum", 0.0),
        weight_decay=given.get("decay", 0.0),
        clip=given.get("clip", 0.0),
        steps=given.get("steps", 0),
    )
    uploads = b.train(local, backend, double=True)
    for client in IDS:
        x, y = b.held.train(client)
        expected, made = sgd(b.start, x, y, client, **given)
        np.testing.assert_allclose(uploads.ends[client], expected, atol=1e-12)
        assert uploads.steps[client] == made
    assert uploads.steps[17] == (8 if "steps" in given else given["epochs"] * -(-23 // given["batch"]))


def test_the_reference_sees_a_wrong_order_of_clip_and_decay():
    """The guard of the test above: with decay inside the clipped gradient the ends differ."""
    b = bed("linear")
    x, y = b.held.train(17)
    given = {"lr": 0.1, "epochs": 1, "batch": 50, "clip": 0.1}
    a, _ = sgd(b.start, x, y, 17, decay=0.5, **given)
    c, _ = sgd(b.start, x, y, 17, decay=0.0, **given)
    assert np.abs(a - c).max() > 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_epoch_is_no_step(backend):
    b = bed("mlp")
    uploads = b.train(Erm(epochs=0), backend)
    assert all(np.array_equal(end, b.start) for end in uploads.ends.values())
    assert uploads.steps[17] == 0 and np.isnan(uploads.losses[17])


def test_lr_decay_is_per_round():
    b = bed("linear")
    local = Erm(epochs=1, lr=0.4, lr_decay=0.5)
    assert local.at(3).lr == pytest.approx(0.05) and local.at(3).at(3) == local.at(3)
    same = b.train(replace(local, lr=0.05, lr_decay=1.0))
    for client, end in b.train(local.at(3)).ends.items():
        assert np.array_equal(end, same.ends[client])


@pytest.mark.parametrize("backend", BACKENDS)
def test_loss_is_the_mean_over_samples_seen(backend):
    b = bed("linear")
    small = Erm(epochs=1, batch=5, lr=1e-30)
    uploads = b.train(small, backend)
    for client in IDS:
        x, y = b.held.train(client)
        z = x.astype(np.float64) @ b.start[:20].reshape(4, 5).T.astype(np.float64) + b.start[20:]
        loss = (np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]).mean()
        assert uploads.losses[client] == pytest.approx(loss, abs=1e-6)


def test_batches_cover_a_pass_and_join_a_lonely_sample_only_where_asked():
    for n in range(1, 40):
        for batch in (2, 3, 7, 50):
            for least in (1, 2):
                found = batches(n, batch, least)
                rows = [i for cut in found for i in range(cut.start, cut.stop)]
                assert rows == list(range(n))
                assert n == 1 or all(cut.stop - cut.start >= least for cut in found)
    with pytest.raises(UserError):
        batches(5, 1, least=2)
    with pytest.raises(UserError):
        batches(0, 5)


def test_batches_depend_on_client_round_and_stream_only():
    b = bed("linear")
    local = Erm(epochs=1, batch=3)
    alone = b.train(local, ids=[902]).ends[902]
    assert np.array_equal(alone, b.train(local, ids=[17, 902, 4001]).ends[902])
    assert not np.array_equal(alone, b.train(local, ids=[902], round=4).ends[902])
    assert not np.array_equal(alone, b.train(local, ids=[902], stream="survey").ends[902])
    assert SIZES[902] == 12 and clients().size(902) == 12
