"""The methods that press hardest on the seams, as short local parts: each fits, and each says one fact.

FedSoft (shares over several starts), CAM (two branches in one vector), PACFL (a survey of data). Only their client
side; sums by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from disue.core.clients import Context
from disue.core.groups import Groups
from disue.core.layout import WHOLE, Part
from disue.core.orders import Report, Sight
from disue.parts.local import Erm
from disue.parts.local.erm import Fit
from engine.engine_bed import IDS, Bed, Held, bed, clients

ORDER = sorted(IDS)
SUMS = Report(sight=frozenset({Sight.SUMS}))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def rounds(b, local, count=2, engine=None, **given):
    """FedAvg's server by hand: (models after each round, engine)."""
    engine = engine or b.engine()
    models, start = [], b.start
    for r in range(count):
        orders = b.orders(local, starts=start[None], round=r, report=SUMS, **given)
        uploads = engine.answer(b.world(), orders)
        start = (start + uploads.sums(Groups.one(uploads.ids)).whole_mean()).astype(np.float32)
        models.append(start)
    return models, engine


# -- FedSoft: shares over all centres, its own warm start, a pull to every centre ----------------------


@dataclass(frozen=True)
class SoftFit(Fit):
    strength: float = 0.0

    def correct(self, gradient, weights, context):
        if not self.strength:
            return None
        pulls = (
            share * (weights - centre) for share, centre in zip(context["shares"], context["centres"], strict=True)
        )
        return gradient + self.strength * sum(pulls)


@dataclass(frozen=True)
class FedSoft(Erm):
    strength: float = 0.1

    @property
    def phases(self):
        return (SoftFit(self.sgd, self.loss, strength=self.strength),)

    def context(self, order, memory):
        return Context({"model": order.start}, {"shares": order.shares, "centres": order.candidates})


SHARES = Report(sight=frozenset({Sight.CHOICE, Sight.SUMS}), weights="uniform", choice="shares")


def centres(b, count=2):
    rng = np.random.default_rng(3)
    return (b.start + 0.5 * rng.standard_normal((count, b.layout.d))).astype(np.float32)


def test_fedsoft_with_one_centre_and_no_pull_is_fedavg():
    b = bed("tiny")
    local = Erm(epochs=1, batch=5, lr=0.2)
    soft = FedSoft(epochs=1, batch=5, lr=0.2, strength=0.0)
    everybody = Groups.one(np.array(ORDER))
    uniform = replace(SUMS, weights="uniform")
    a = b.train(soft, report=SHARES)
    c = b.train(local, report=uniform)
    assert np.array_equal(a.sums(everybody).whole, c.sums(everybody).whole)
    assert a.choice().tolist() == [[1.0]] * 3


def test_fedsoft_pulls_to_every_centre_from_its_own_last_model():
    b = bed("linear")
    starts, which = centres(b), np.array([[0, 1]] * 3)
    engine = b.engine(double=True)
    one_step = {"steps": 1, "batch": 1000, "lr": 0.2}
    given = {"starts": starts, "which": which, "own": True, "report": SHARES}
    first = engine.answer(b.world(), b.orders(FedSoft(**one_step), round=0, **given))
    last, shares = {i: first.ends[i].copy() for i in IDS}, first.choice()
    assert (shares.sum(1) == 1).all() and ((shares > 0) & (shares < 1)).any()
    second = engine.answer(b.world(), b.orders(FedSoft(strength=0.5, **one_step), round=1, **given))
    for row, client in enumerate(ORDER):
        start = last[client]  # its own, whatever the centres are
        pull = 0.5 * (shares[row][:, None] * (start - starts.astype(np.float64))).sum(0)
        free = b.train(Erm(**one_step), ids=[client], starts=start[None].astype(np.float32), double=True)
        np.testing.assert_allclose(second.ends[client], free.ends[client] - 0.2 * pull, atol=1e-6)


# -- CAM: h(x; shared) + f(x; own), two branches in one vector -----------------------------------------


class Additive(nn.Module):
    """The sum of two models' logits: its features are both logits, its head adds them and is no weight."""

    positive = False

    def __init__(self, inward, classes):
        super().__init__()
        self.shared, self.own = nn.Linear(inward, classes), nn.Linear(inward, classes)
        self.head = nn.Linear(2 * classes, classes)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(classes).repeat(1, 2))
            self.head.bias.zero_()
        self.head.requires_grad_(False)

    def features(self, inputs):
        return torch.cat([self.shared(inputs), self.own(inputs)], dim=1)

    def forward(self, inputs):
        return self.head(self.features(inputs))


SHARED, OWN = Part.of("shared.*"), Part.of("own.*")


def cam():
    torch.manual_seed(2)
    return Bed(Additive(5, 4), (5,), clients(), "vector")


def test_cams_prediction_is_that_of_the_sum():
    """h = (1, 0), f = (−2, 0): the sum (−1, 0) says class 1."""
    b = cam()
    vector = b.start.copy()
    vector[b.layout.mask(WHOLE)] = 0
    b.layout.tensor(vector, "shared.bias")[0], b.layout.tensor(vector, "own.bias")[0] = 1.0, -2.0
    logits = b.network.logits(vector, np.zeros((1, 5), np.float32))
    assert logits.tolist() == [[-1.0, 0.0, 0.0, 0.0]] and logits[0, :2].argmax() == 1


def test_cam_chooses_by_the_loss_of_the_sum_and_merges_its_branches_apart():
    b = cam()
    own = b.layout.mask(OWN)
    starts = np.stack([b.start, b.start])
    starts[1, own] = b.train(Erm(epochs=40, lr=0.5), ids=[17]).ends[17][own]
    report = Report(sight=frozenset({Sight.CHOICE, Sight.SUMS}), choice="loss")
    uploads = b.train(Erm(epochs=1, lr=0.2), starts=starts, which=np.array([[0, 1]] * 3), report=report, origin=None)
    picks = dict(zip(ORDER, uploads.choice().argmax(1).tolist(), strict=True))
    for client, pick in picks.items():
        x, y = b.held.train(client)
        logits = [b.network.logits(start, x).astype(np.float64) for start in starts]
        losses = [(np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]).mean() for z in logits]
        assert pick == int(np.argmin(losses))
    assert picks[17] == 1
    groups = Groups.make(picks, numbers=[0, 1])
    sums = uploads.sums(groups)
    shared = b.layout.mask(SHARED)
    sizes, ends = {i: b.held.size(i) for i in IDS}, uploads.ends
    everywhere = sum(sizes[i] * ends[i].astype(np.float64) for i in ORDER) / sum(sizes.values())
    np.testing.assert_allclose(sums.whole_mean()[shared], everywhere[shared], rtol=1e-12)
    members = groups.members(1).tolist()
    mean = sum(sizes[i] * ends[i].astype(np.float64) for i in members) / sum(sizes[i] for i in members)
    np.testing.assert_allclose(sums.mean(1)[own], mean[own], rtol=1e-12)


@dataclass(frozen=True)
class OneBranch(Erm):
    trains: Part = SHARED

    @property
    def phases(self):
        return (Fit(self.sgd, self.loss, trains=self.trains),)


def test_cam_with_a_silent_branch_is_fedavg_on_the_other():
    b, alone = cam(), bed("linear")
    start = b.start.copy()
    start[b.layout.mask(OWN)] = 0
    start[b.layout.mask(SHARED)] = alone.start
    given = {"epochs": 2, "batch": 5, "lr": 0.2}
    branch = b.train(OneBranch(**given), starts=start[None], double=True).ends
    plain = alone.train(Erm(**given), double=True).ends
    for client in IDS:
        np.testing.assert_allclose(branch[client][b.layout.mask(SHARED)], plain[client], atol=1e-12)
        assert not branch[client][b.layout.mask(OWN)].any()


# -- PACFL: bases of the data by a survey, single vectors at the server --------------------------------


@dataclass(frozen=True)
class Bases:
    """The leading directions of each class, side by side; a class that is absent is zero."""

    each: int

    def __call__(self, inputs, labels, order):
        columns = np.zeros((inputs[0].size, self.each * len(order.labels)))
        for label in np.flatnonzero(order.labels):
            rows = inputs[labels == label].reshape(-1, inputs[0].size)
            left = np.linalg.svd(rows.T, full_matrices=False)[0][:, : self.each]
            columns[:, label * self.each : label * self.each + left.shape[1]] = left
        return {"bases": columns}


def angle(one, other):
    """The smallest principal angle of the spans, in degrees."""
    spans = []
    for columns in (one, other):
        left, values, _ = np.linalg.svd(columns, full_matrices=False)
        spans.append(left[:, values > 1e-9])
    cosine = np.linalg.svd(spans[0].T @ spans[1], compute_uv=False).max()
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def surveyed(rows, each):
    data = {i: (np.array(x, np.float32), np.zeros(len(x), np.int64)) for i, x in rows.items()}
    held = Held(data)
    b = Bed(bed("linear").module, (5,), held, "vector")
    report = Report(sight=frozenset({Sight.VECTORS}), extras=("bases",))
    uploads = b.train(None, ids=list(rows), report=report, probe=Bases(each))
    assert uploads.bytes_up == len(rows) * 4 * 5 * 4 * each  # bases go up, and no update
    return dict(zip(uploads.ids.tolist(), uploads.vectors("bases").reshape(len(rows), 5, -1), strict=True))


def test_pacfl_angle_of_two_lines():
    e = np.eye(5)
    found = surveyed({4001: [e[0], 2 * e[0]], 17: [e[0] + e[1], -e[0] - e[1]], 902: [e[2], e[2]]}, each=1)
    assert angle(found[4001], found[17]) == pytest.approx(45.0, abs=1e-4)
    assert angle(found[4001], found[902]) == pytest.approx(90.0, abs=1e-4)


def test_pacfl_angle_does_not_depend_on_the_basis():
    e = np.eye(5)
    turned = [3 * (e[0] + e[1]), e[0] - e[1]]  # the same plane by other leading directions
    found = surveyed({4001: [3 * e[0], e[1]], 17: turned}, each=2)
    assert np.degrees(np.arccos(np.abs(found[4001][:, :2].T @ found[17][:, :2]).max())) == pytest.approx(45, abs=1e-3)
    assert angle(found[4001], found[17]) == pytest.approx(0.0, abs=0.1)
