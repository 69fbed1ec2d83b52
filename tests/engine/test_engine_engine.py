"""Orders to answers: choices, own starts, surveys, faults; inputs unchanged, order of no matter."""

from dataclasses import dataclass

import numpy as np
import pytest
from engine_bed import IDS, Erm, Phased, Step, bed

from disue.core.checks import digest
from disue.core.clients import Finished
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.orders import Report, Sight
from disue.engine import Engine
from disue.parts.local.rule import Rule

LOCAL = Erm(epochs=1, batch=5, lr=0.2)
ORDER = sorted(IDS)


def test_the_order_of_the_cohort_does_not_matter():
    b = bed("tiny")
    a, c = b.train(LOCAL, ids=IDS), b.train(LOCAL, ids=IDS[::-1])
    assert a.ids.tolist() == c.ids.tolist() == ORDER
    groups = Groups.one(a.ids)
    assert np.array_equal(a.sums(groups).totals, c.sums(groups).totals)
    assert np.array_equal(a.cosine().values, c.cosine().values)


@pytest.mark.parametrize("backend", ["loop", "lean"])
def test_inputs_are_unchanged(backend):
    b = bed("normed")
    arrays = [b.start, *(a for i in IDS for a in b.held.train(i))]
    before = digest(*arrays)
    engine = b.engine(backend)
    uploads = engine.answer(b.world(), b.orders(Phased((Step(), Step(vector="personal")), second=True), own=True))
    uploads.moments(Groups.one(uploads.ids), b.start)
    assert digest(*arrays) == before
    for array in (*uploads.ends.values(), *engine.memory.get(17).values()):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_choice_by_loss_ties_to_the_lowest():
    b = bed("linear")
    good = b.train(Erm(epochs=60, lr=0.5), ids=[17]).ends[17]
    starts = np.stack([b.start, good, good])
    report = Report(sight=frozenset({Sight.CHOICE}), choice="loss")
    uploads = b.train(Erm(epochs=0), starts=starts, which=np.array([[0, 1, 2]] * 3), report=report)
    assert uploads.choice()[0].tolist() == [0.0, 1.0, 0.0]  # 17 comes first: answers are by id
    assert np.array_equal(uploads.ends[17], good)
    # the mean training loss by hand
    for row, client in enumerate(ORDER):
        x, y = b.held.train(client)
        means = []
        for v in starts:
            z = x.astype(np.float64) @ v[:20].reshape(4, 5).T + v[20:]
            means.append((np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]).mean())
        assert np.argmax(uploads.choice()[row]) == np.argmin(np.round(means, 5))


def test_a_candidate_without_a_finite_loss_is_not_chosen():
    b = bed("linear")
    broken = np.full_like(b.start, np.nan)
    report = Report(sight=frozenset({Sight.CHOICE}), choice="loss")
    uploads = b.train(LOCAL, starts=np.stack([broken, b.start]), which=np.array([[0, 1]] * 3), report=report)
    assert uploads.choice().tolist() == [[0.0, 1.0]] * 3 and not uploads.dropped


def test_shares_are_of_samples():
    """One feature, two centres: logits ±x; samples (0 | label 0), (+), (+): shares ⅔ and ⅓ by hand."""
    b = bed("linear", sizes={17: 3})
    x, y = b.held.data[17]
    x, y = np.array(x), np.array(y)
    x[:], y[:] = 1.0, [0, 0, 1]
    b.held.data[17] = (x, y)
    starts = np.zeros((2, 24), np.float32)
    starts[0, 20], starts[1, 21] = 1.0, 1.0  # centre c says class c
    report = Report(sight=frozenset({Sight.CHOICE}), choice="shares")
    uploads = b.train(LOCAL, ids=[17], starts=starts, which=np.array([[0, 1]]), report=report)
    np.testing.assert_allclose(uploads.choice(), [[2 / 3, 1 / 3]])
    twice = np.concatenate([starts, starts])  # ties go to the lowest
    again = b.train(LOCAL, ids=[17], starts=twice, which=np.array([[0, 2, 1, 3]]), report=report)
    np.testing.assert_allclose(again.choice(), [[2 / 3, 0, 1 / 3, 0]])


def test_into_is_what_is_trained_after_the_choice():
    b = bed("linear")
    good = b.train(Erm(epochs=60, lr=0.5), ids=[17]).ends[17]
    starts = np.stack([b.start, good, b.start + np.float32(2), good * np.float32(0.5)])
    report = Report(sight=frozenset({Sight.CHOICE}), choice="loss")
    which, into = np.array([[0, 1]]), np.array([[2, 3]])
    uploads = b.train(Erm(epochs=0), ids=[17], starts=starts, which=which, into=into, report=report)
    assert np.array_equal(uploads.ends[17], starts[3])


def test_own_starts_come_from_the_last_end():
    b = bed("mlp")
    engine = b.engine()
    first = engine.answer(b.world(), b.orders(LOCAL, own=True, round=0))
    second = engine.answer(b.world(), b.orders(LOCAL, own=True, round=1, ids=[17, 902]))
    for client in (17, 902):
        alone = b.train(LOCAL, ids=[client], starts=first.ends[client][None], round=1)
        assert np.array_equal(second.ends[client], alone.ends[client])
    assert np.array_equal(engine.memory.get(4001)["end"], first.ends[4001])  # absent: as it was
    assert np.array_equal(second.vectors()[0], second.ends[17] - first.ends[17])  # about its own start


@pytest.mark.parametrize("stream", ["survey", "newcomers", "personal"])
def test_training_that_is_thrown_away_leaves_memories_alone(stream):
    b = bed("mlp")
    engine = b.engine()
    engine.answer(b.world(), b.orders(LOCAL, own=True))
    kept = engine.memory.get(17)["end"].copy()
    engine.answer(b.world(), b.orders(LOCAL, stream=stream))
    engine.answer(b.world(), b.orders(LOCAL, own=True, stream=stream))
    assert np.array_equal(engine.memory.get(17)["end"], kept)
    engine.answer(b.world(), b.orders(LOCAL))  # a round from the server's vector keeps it too
    assert np.array_equal(engine.memory.get(17)["end"], kept)


def test_a_rule_makes_models_of_memories_without_training_or_choosing_a_backend():
    b = bed("mlp")
    engine = b.engine("auto")
    make = Rule(lambda order, memory: order.start + memory.get("shift", np.float32(0)))
    engine.memory.put(17, {"shift": np.full(b.layout.d, 0.5, np.float32)})
    uploads = engine.answer(b.world(), b.orders(make, stream="personal", report=Report()))
    assert np.array_equal(uploads.ends[17], b.start + np.float32(0.5)) and np.array_equal(uploads.ends[902], b.start)
    assert engine.choice is None and engine.memory.ids == [17] and uploads.bytes_up == 0
    held = {902: {"shift": np.full(b.layout.d, 2.0, np.float32)}}
    uploads = engine.answer(b.world(), b.orders(make, stream="personal", report=Report()), memories=held)
    assert np.array_equal(uploads.ends[902], b.start + np.float32(2)) and np.array_equal(uploads.ends[17], b.start)


def test_what_an_evaluation_trains_decides_no_backend():
    b = bed("mlp")
    engine = b.engine("auto")
    uploads = engine.answer(b.world(), b.orders(LOCAL, stream="personal"))
    assert engine.choice is None
    plain = b.engine("lean").answer(b.world(), b.orders(LOCAL, stream="personal"))
    assert all(np.array_equal(uploads.ends[i], plain.ends[i]) for i in IDS)
    training = b.engine("lean").answer(b.world(), b.orders(LOCAL))
    assert not np.array_equal(uploads.ends[17], training.ends[17])  # it draws from a stream of its own


def test_a_survey_without_training_brings_what_the_probe_finds():
    b = bed("mlp")
    report = Report(sight=frozenset({Sight.VECTORS, Sight.SUMS}), extras=("mean",))

    def probe(x, y, order):
        with pytest.raises(ValueError):
            x[0] = 0
        return {"mean": x.mean(0), "kept at home": y}

    uploads = b.train(None, report=report, probe=probe)
    for row, client in enumerate(ORDER):
        assert np.array_equal(uploads.vectors("mean")[row], b.held.train(client)[0].mean(0))
    total = sum(b.held.size(i) * b.held.train(i)[0].mean(0).astype(np.float64) for i in ORDER)
    np.testing.assert_allclose(uploads.sums(Groups.one(uploads.ids), "mean").whole, total, rtol=1e-12)
    assert not uploads.vectors().any() and uploads.bytes_up == 3 * 5 * 4
    with pytest.raises(UserError) as caught:
        b.train(None, report=Report(extras=("median",)), probe=probe)
    assert caught.value.found == "median"


@dataclass(frozen=True)
class Poisoned(Phased):
    """Client 4001 diverges; 902 keeps a NaN at home."""

    def finish(self, ends, steps, context, order):
        end = np.array(ends["model"])
        if order.id == 4001:
            end[4 * 5 + 3], end[7], end[21] = np.nan, np.inf, np.nan
        return Finished(end, memory={"c": np.array([np.nan if order.id == 902 else 1.0])})


def test_who_is_not_finite_is_left_out_and_named():
    b = bed("mlp")
    engine = b.engine()
    engine.memory.put(4001, {"c": np.array([5.0])})
    uploads = engine.answer(b.world(), b.orders(Poisoned(), round=17))
    assert uploads.ids.tolist() == [17]
    assert uploads.dropped == {
        4001: "client 4001 left out of round 17: its update holds 2 NaN and 1 inf, the first in fc1.weight[1, 2]",
        902: 'client 902 left out of round 17: its "c" holds 1 NaN',
    }
    assert engine.memory.get(4001)["c"].tolist() == [5.0] and engine.memory.get(902) == {}
    assert uploads.sums(Groups.one(np.array(IDS))).counts.tolist() == [1]


def test_who_does_not_answer_is_absent():
    b = bed("mlp")
    engine = b.engine()
    uploads = engine.answer(b.world(), b.orders(LOCAL, own=True), np.array([902, 17]))
    assert uploads.ids.tolist() == [17, 902] and engine.memory.ids == [17, 902]
    assert np.array_equal(uploads.ends[17], b.train(LOCAL).ends[17])
    nobody = engine.answer(b.world(), b.orders(LOCAL), np.zeros(0, np.int64))
    assert nobody.ids.size == 0 and nobody.sums(Groups.one(np.array(IDS))).counts.tolist() == [0]
    assert nobody.cosine().values.shape == (0, 0) and nobody.vectors().shape == (0, b.layout.d)
    with pytest.raises(UserError):
        engine.answer(b.world(), b.orders(LOCAL), np.array([5]))


def test_data_is_read_once_while_there_is_room():
    b = bed("mlp")
    read = []
    plain = b.held.train
    b.held.train = lambda client: (read.append(client), plain(client))[1]
    for cache, times in ((512, 1), (0, 2)):
        read.clear()
        engine = b.engine(cache=cache)
        for _ in range(2):
            ends = engine.answer(b.world(), b.orders(LOCAL)).ends
        assert sorted(read) == sorted([*IDS] * times)
        assert np.array_equal(ends[17], b.train(LOCAL).ends[17])


@pytest.mark.parametrize("given", [{"backend": "leen"}, {"device": "gpu"}])
def test_unknown_names_are_refused(given):
    with pytest.raises(UserError) as caught:
        Engine(bed("mlp").held, **given)
    assert caught.value.key == f"engine.{next(iter(given))}"


def test_cuda_is_refused_where_there_is_none():
    import torch

    if torch.cuda.is_available():
        b = bed("tiny")
        np.testing.assert_allclose(
            b.engine(device="cuda", double=True).answer(b.world(), b.orders(LOCAL)).ends[17],
            b.train(LOCAL, double=True).ends[17],
            atol=1e-9,
        )
    else:
        with pytest.raises(UserError) as caught:
            Engine(bed("mlp").held, device="cuda")
        assert caught.value.key == "engine.device"
