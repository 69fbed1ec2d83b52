"""Gram, layout, streams, checks and orders."""

import os
import subprocess
import sys

import numpy as np
import pytest

from disue.core import checks
from disue.core.errors import UserError, unknown
from disue.core.layout import BODY, EVERYTHING, HEAD, WHOLE, Entry, Layout, Part
from disue.core.orders import Orders, Report, origin_of
from disue.core.streams import Streams
from disue.core.uploads import Gram, GroupSums
from fakes import layout

IDS = np.array([17, 902, 4001], np.int64)


def gram(rows, anchors=()):
    v, a = np.array(rows, float), np.array(anchors, float).reshape(len(anchors), len(rows[0]))
    return Gram(IDS, v @ v.T, a @ v.T, a @ a.T)


# -- Gram ------------------------------------------------------------------------------------------


def test_among_takes_rows_by_ids_in_the_order_given():
    part = gram([[1, 0], [0, 2], [3, 3]], [[1, 1]]).among(np.array([4001, 17]))
    assert part.values.tolist() == [[18, 3], [3, 1]] and part.anchors.tolist() == [[6, 1]]
    with pytest.raises(UserError, match="client 5"):
        part.among(np.array([5]))


def test_cosine_of_zero_vectors_is_one_to_itself_and_zero_to_all():
    cos = gram([[3, 4], [0, 0], [-6, -8]], [[0, 0], [30, 40]]).cosine()
    assert cos.values.tolist() == [[1, 0, -1], [0, 1, 0], [-1, 0, 1]]
    assert cos.anchors.tolist() == [[0, 0, 0], [1, 0, -1]]
    assert cos.squares.tolist() == [[1, 0], [0, 1]]


def test_cosine_is_symmetric_to_the_last_bit():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(40, 7)) * rng.lognormal(sigma=4, size=(40, 1))
    whole = Gram.of(np.arange(40), np.array([[float((a * b).sum()) for b in rows] for a in rows])).cosine()
    assert np.array_equal(whole.values, whole.values.T)


def test_norms_and_distances():
    found = gram([[3, 4], [0, 0], [3, 0]], [[0, 4]])
    assert found.norms().tolist() == [5, 0, 3]
    assert found.distances().tolist() == [[0, 5, 4], [5, 0, 3], [4, 3, 0]]
    assert found.to_anchors().tolist() == [[3, 4, 5]]


def test_means_of_group_sums_and_of_nobody():
    sums = GroupSums(
        np.array([0, 4]), np.array([[6.0, 2], [0, 0]]), np.array([4.0, 0]), np.array([2, 0]), np.array([6.0, 2])
    )
    assert sums.mean(0).tolist() == [1.5, 0.5] and sums.mean(1).tolist() == [0, 0]
    assert sums.whole_mean().tolist() == [1.5, 0.5]


# -- layout ----------------------------------------------------------------------------------------


def test_parts_of_a_layout():
    at = layout(8, statistics=2)  # conv 2, fc.weight 2, fc.bias 2, running_mean 2
    assert at.d == 8 and at.classes == 2 and at.features == 1
    assert np.flatnonzero(at.mask(WHOLE)).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.flatnonzero(at.mask(HEAD)).tolist() == [2, 3, 4, 5]
    assert np.flatnonzero(at.mask(BODY)).tolist() == [0, 1]
    assert at.mask(EVERYTHING).all()
    assert np.flatnonzero(at.mask(Part.of("conv*, fc.bias"))).tolist() == [0, 1, 4, 5]
    assert np.flatnonzero(at.mask(Part(("@type:BatchNorm*",), "any"))).tolist() == [6, 7]
    assert Part.of("head") == HEAD and Part.of("everything") == EVERYTHING
    with pytest.raises(UserError, match=r'part "lstm\*" meets no tensor of toy'):
        at.mask(Part.of("lstm*"))


def test_masks_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        layout().mask(HEAD)[0] = True


def test_head_is_a_view_and_with_head_a_copy():
    at, value = layout(6), np.arange(6, dtype=np.float32)
    weight, bias = at.head(value)
    assert weight.tolist() == [[2], [3]] and bias.tolist() == [4, 5] and np.shares_memory(weight, value)
    other = at.with_head(value, np.zeros((2, 1)), np.ones(2))
    assert other.tolist() == [0, 1, 0, 0, 1, 1] and value[2] == 2
    with pytest.raises(UserError) as found:
        at.with_head(value.astype(np.float64), weight, bias)
    assert found.value.key == "with_head"


def test_fingerprint_is_of_names_shapes_and_kinds():
    def one(*entry, model="a"):
        return Layout((Entry(*entry),), "w", "w", model=model).fingerprint

    base = one("w", (2, 3))
    assert base == one("w", (2, 3), model="b")
    assert len({base, one("w", (3, 2)), one("v", (2, 3)), one("w", (2, 3), "statistic")}) == 4


# -- streams ---------------------------------------------------------------------------------------


def test_streams_are_independent_of_what_was_drawn_before():
    streams = Streams(4)
    alone = streams("batches", 3, 17).random(4)
    streams("cohort", 3).random(1000)
    assert np.array_equal(streams("batches", 3, 17).random(4), alone)
    words = [("batches", 3, 17), ("batches", 17, 3), ("batches", 31, 7), ("batches", -3, 17), ("cohort", 3, 17)]
    keys = {streams.key(*w) for w in words} | {Streams(5).key("batches", 3, 17), streams.key("batches")}
    assert len(keys) == 7
    assert 0 <= streams.torch_seed("batches", 1) < 2**63


def test_streams_do_not_resemble_each_other():
    # correlation of two streams of n draws has standard error 1/√n: four of them
    n = 20_000
    a, b = Streams(0)("batches", 0, 1).normal(size=n), Streams(0)("batches", 0, 2).normal(size=n)
    assert abs(float((a * b).mean())) < 4 / np.sqrt(n)


@pytest.mark.parametrize("seed", ["0", "12345"])
def test_a_fresh_process_with_another_hash_seed_draws_the_same_bits(seed):
    code = "from disue.core.streams import Streams; print(Streams(7)('cohort', 2).bytes(16).hex())"
    env = {**os.environ, "PYTHONHASHSEED": seed}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == Streams(7)("cohort", 2).bytes(16).hex()


# -- checks and errors -----------------------------------------------------------------------------


def test_messages_name_argument_expected_and_found():
    with pytest.raises(UserError, match=r"start: expected a vector of 61,706 float32, got float32 .*61720"):
        checks.vector("start", np.zeros(61720, np.float32), 61706)
    with pytest.raises(UserError, match=r"starts: expected float32 of shape \(n, 3\), got float64"):
        checks.matrix("starts", np.zeros((2, 3)), None, 3)
    with pytest.raises(UserError, match="client id 17 occurs 2 times") as found:
        checks.ids("cohort", np.array([17, 3, 17]))
    assert found.value.key == "cohort"
    with pytest.raises(UserError, match="integer client ids"):
        checks.ids("cohort", np.array([1.5]))
    assert checks.matrix("m", np.zeros((2, 3), np.float32).T, 3, 2).flags.c_contiguous


def test_positions_are_of_ids():
    among = np.array([4001, 17, 902])
    assert checks.positions(np.array([17, 902, 17]), among).tolist() == [1, 2, 1]
    for known in (among, among[:0]):
        with pytest.raises(UserError, match="client 1 is not among"):
            checks.positions(np.array([1]), known)


def test_digest_sees_dtype_shape_and_bytes():
    a = np.arange(6, dtype=np.float32)
    assert len({checks.digest(a), checks.digest(a.reshape(2, 3)), checks.digest(a.view(np.int32))}) == 3
    assert checks.digest(a[::2]) == checks.digest(a[::2].copy())


def test_unknown_names_suggest_the_nearest():
    error = unknown("method", "fedagv", ["fedavg", "ifca"])
    assert 'Did you mean "fedavg"?' in str(error) and error.found == "fedagv"


# -- orders ----------------------------------------------------------------------------------------


def ordered(**changes):
    base = {
        "round": 0,
        "ids": IDS,
        "starts": np.zeros((2, 6), np.float32),
        "which": np.array([[0], [1], [1]]),
    }
    return Orders(**{**base, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"starts": np.zeros((2, 5), np.float32)}, "orders.starts"),
        ({"ids": np.array([1, 1, 2])}, "orders.ids"),
        ({"which": np.zeros((2, 1), np.int64)}, "one row per client"),
        ({"which": np.array([[0], [2], [1]])}, "0 … 1, got 2"),
        ({"which": np.array([[0], [-1], [1]])}, "0 … 1, got -1"),
        ({"into": np.zeros((3, 2), np.int64)}, "orders.into"),
        ({"origin": np.zeros(5, np.float32)}, "orders.origin"),
        ({"report": Report(choice="best")}, "report.choice"),
    ],
)
def test_orders_say_what_is_wrong_with_them(changes, message):
    with pytest.raises(UserError, match=message):
        ordered(**changes).check(layout(6))
    assert ordered().check(layout(6)).ids is IDS


def test_orders_among_follow_the_ids():
    part = ordered(into=np.array([[1], [0], [0]])).among(np.array([4001, 17]))
    assert part.which[:, 0].tolist() == [1, 0] and part.into[:, 0].tolist() == [0, 1]


def test_the_origin_is_the_common_start_where_there_is_one():
    a, b = np.ones((1, 3), np.float32), np.zeros((1, 3), np.float32)
    assert origin_of(a).tolist() == [1, 1, 1]
    assert origin_of(np.concatenate([a, a])).tolist() == [1, 1, 1]
    assert origin_of(np.concatenate([a, b])) is None and origin_of(a[:0]) is None
