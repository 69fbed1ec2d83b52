"""Mean by hand: unequal sizes, a start away from zero, an odd cohort, ids that are no positions."""

import numpy as np
import pytest

from disue.core.checks import digest
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import Aggregate, View
from disue.core.tree import classes_of, put, take
from disue.parts.aggregate import KINDS, Mean, Momentum
from fakes import answer, layout, orders, vec, world

D = 4  # a head only: fc.weight (2, 1), fc.bias (2,)
START = vec(2, 2, 0, 0)
SIZES = {4001: 1, 17: 3, 902: 4}
A, B, C = 4001, 17, 902


def ends(**moved):
    """Ends of a, b, c with the first two entries given and zeros behind them."""
    return {{"a": A, "b": B, "c": C}[name]: vec(*value, 0, 0) for name, value in moved.items()}


def view(groups, models=None, average=START):
    rows = np.repeat(START[None], groups.numbers.size, 0) if models is None else np.stack(models)
    rows.flags.writeable = False
    return View(0, groups, rows.astype(np.float32), average, None)


def merge(mean, groups, came, *, memory=None, before=None, asked=None, common=True, at=None, after=None):
    at = at or world((A, B, C), D)
    asked = asked or orders((A, B, C), START)
    before = before or view(groups)
    memory = memory or mean.init(at, START, groups)
    door = answer(asked, came, at.layout, SIZES, weights=mean.weights)
    return mean.merge(at, memory, before, after or groups, asked, door, common=common)


def two(vector):
    return vector[:2].tolist()


GROUPS = Groups.make({A: 0, B: 0, C: 5})


@pytest.mark.hand("fedavg")
def test_the_mean_is_about_the_origin_that_was_sent():
    # a (1) ends at (4, 2), b (3) at (0, 6): 2 + (1·2 + 3·(−2)) / 4 = 1 ; 2 + 3·4 / 4 = 5
    # c (4) ends at (2, −6): group 5 is c; average = (4·(1, 5) + 4·(2, −6)) / 8 = (1.5, −0.5)
    out = merge(Mean(), GROUPS, ends(a=(4, 2), b=(0, 6), c=(2, -6)))
    assert two(out.models[0]) == [1, 5] and two(out.models[1]) == [2, -6]
    assert two(out.average) == [1.5, -0.5]
    assert out.models.dtype == out.average.dtype == np.float32


def test_uniform_weights_count_clients():
    out = merge(Mean(weights="uniform"), GROUPS, ends(a=(4, 2), b=(0, 6), c=(2, -8)))
    assert two(out.models[0]) == [2, 4] and two(out.average) == [2, 0]


def test_a_group_without_an_answer_keeps_its_model():
    before = view(GROUPS, [vec(7, 7, 7, 7), vec(9, 9, 9, 9)])
    out = merge(Mean(), GROUPS, ends(a=(4, 2)), before=before)
    assert two(out.models[0]) == [4, 2] and two(out.models[1]) == [9, 9] and two(out.average) == [4, 2]


def test_nobody_weighs_anything_and_nothing_changes():
    before = view(GROUPS, [vec(7, 7, 7, 7), vec(9, 9, 9, 9)], average=vec(8, 8, 8, 8))
    strangers = Groups.make({5: 0}, numbers=[5])
    mean = Mean(momentum=0.5)
    memory = Momentum(np.ones((1, D), np.float32), GROUPS)
    out = merge(mean, GROUPS, ends(a=(4, 2)), before=before, after=strangers, memory=memory)
    assert two(out.models[1]) == [9, 9] and two(out.average) == [8, 8] and out.memory is memory


@pytest.mark.hand("disue")
def test_balance_by_hand():
    # group 0 weighs 4 at (1, 5), group 5 (c alone) weighs 4 in the sizes: take a and c only: 1 and 4
    came = ends(a=(4, 2), c=(-6, 12))  # updates (2, 0) and (−8, 10)
    full = merge(Mean(balance=1), GROUPS, came)  # (2, 2) + ((2, 0) + (−8, 10)) / 2
    half = merge(Mean(balance=0.5), GROUPS, came)  # weights 1 and 2: (2, 2) + ((2, 0) + 2·(−8, 10)) / 3
    assert two(full.average) == [-1, 7]
    assert np.allclose(half.average[:2], [2 - 14 / 3, 2 + 20 / 3], rtol=1e-7)
    assert two(full.models[0]) == [4, 2] and two(full.models[1]) == [-6, 12]


@pytest.mark.hand("fedavgm")
def test_momentum_over_two_rounds():
    # β = 0.5. Round 0: step (2, 0), v = (2, 0), average (4, 2).
    # Round 1, all start from (4, 2); a ends at (4, 6): step (0, 4), v = (1, 4), average (5, 6)
    mean, one = Mean(momentum=0.5), Groups.one(np.array([A, B, C]))
    first = merge(mean, one, ends(a=(4, 2)))
    assert two(first.average) == [4, 2] and two(first.memory.buffer[0]) == [2, 0]
    second = merge(
        mean,
        one,
        ends(a=(4, 6)),
        memory=first.memory,
        before=view(one, list(first.models), first.average),
        asked=orders((A, B, C), first.average),
    )
    assert two(second.average) == [5, 6] and two(second.models[0]) == [5, 6]
    assert two(second.memory.buffer[0]) == [1, 4]


def test_the_buffer_is_about_the_sent_vector_not_about_the_average():
    # an expert (10, 10) was sent; v moves the average from there: 10 + 0.5·2 + 1
    mean, one = Mean(momentum=0.5), Groups.one(np.array([A, B, C]))
    memory = Momentum(np.array([[2, 0, 0, 0]], np.float32), one)
    out = merge(mean, one, ends(b=(11, 10)), memory=memory, asked=orders((A, B, C), vec(10, 10, 0, 0)))
    assert two(out.average) == [12, 10]


@pytest.mark.hand("fedavgm")
def test_nesterov_looks_ahead():
    # v = 0.5·(2, 0) + (4, 0) = (5, 0); move = 0.5·5 + 4 = 6.5
    mean, one = Mean(momentum=0.5, nesterov=True), Groups.one(np.array([A, B, C]))
    memory = Momentum(np.array([[2, 0, 0, 0]], np.float32), one)
    out = merge(mean, one, ends(a=(6, 2)), memory=memory)
    assert two(out.average) == [8.5, 2] and two(out.memory.buffer[0]) == [5, 0]


def test_statistics_get_no_momentum():
    at = world((A,), 6, statistics=2)
    mean, one, start = Mean(momentum=0.5), Groups.one(np.array([A])), np.zeros(6, np.float32)
    memory = Momentum(np.full((1, 6), 2, np.float32), one)
    asked = orders((A,), start)
    door = answer(asked, {A: np.full(6, 4, np.float32)}, at.layout)
    out = mean.merge(at, memory, View(0, one, start[None], start, None), one, asked, door, common=True)
    assert out.average.tolist() == [5, 5, 5, 5, 4, 4]
    assert out.memory.buffer[0].tolist() == [5, 5, 5, 5, 0, 0]


# -- groups that start apart -----------------------------------------------------------------------

APART = [vec(1, 1, 0, 0), vec(5, 5, 0, 0)]


def apart(mean, came, memory=None, groups=GROUPS, before=None):
    asked = orders((A, B, C), np.stack(APART), [0, 0, 1])
    assert asked.origin is None
    before = before or view(GROUPS, APART, vec(3, 3, 0, 0))
    return merge(mean, groups, came, memory=memory, before=before, asked=asked, common=False)


def test_groups_that_start_apart_take_their_members_mean_end():
    # a (1) at (3, 1), b (3) at (−1, 1), c (4) at (5, 9): (0, 1) and (5, 9), average (2.5, 5)
    out = apart(Mean(), ends(a=(3, 1), b=(-1, 1), c=(5, 9)))
    assert two(out.models[0]) == [0, 1] and two(out.models[1]) == [5, 9] and two(out.average) == [2.5, 5]


def test_momentum_has_a_buffer_per_group_where_starts_differ():
    # group 0: v = 0.5·(4, 0) + ((3, 1) − (1, 1)) = (4, 0) → (5, 1); group 5 absent: model and buffer stay
    memory = Momentum(np.array([[4, 0, 0, 0], [0, 6, 0, 0]], np.float32), GROUPS, single=False)
    out = apart(Mean(momentum=0.5), ends(a=(3, 1)), memory)
    assert two(out.models[0]) == [5, 1] and two(out.models[1]) == [5, 5] and two(out.average) == [5, 1]
    assert out.memory.buffer[:, :2].tolist() == [[4, 0], [0, 6]]


def test_buffers_and_models_follow_the_lineage():
    # group 0 was split into 6 (a) and 7 (b): both have its model (1, 1) and its buffer (4, 0)
    after = GROUPS.split(0, [np.array([A]), np.array([B])])
    memory = Momentum(np.array([[4, 0, 0, 0], [0, 6, 0, 0]], np.float32), GROUPS, single=False)
    out = apart(Mean(momentum=0.5), ends(b=(1, 3)), memory, groups=after)
    assert after.numbers.tolist() == [5, 6, 7]
    # group 7 (b): v = 0.5·(4, 0) + (0, 2) = (2, 2) → (3, 3)
    assert out.models[:, :2].tolist() == [[5, 5], [1, 1], [3, 3]]
    assert out.memory.buffer[:, :2].tolist() == [[0, 6], [4, 0], [2, 2]]
    assert out.memory.groups == after


def test_balance_weighs_the_models_where_starts_differ():
    out = apart(Mean(balance=1), ends(a=(3, 1), c=(5, 9)))
    assert two(out.average) == [4, 5]


# -- identities ------------------------------------------------------------------------------------


def random_round(seed=0, clients=9, d=30):
    rng = np.random.default_rng(seed)
    ids = rng.choice(10_000, clients, replace=False).tolist()
    start = rng.normal(size=d).astype(np.float32)
    came = {i: (start + rng.normal(size=d)).astype(np.float32) for i in ids}
    return ids, start, came, dict(zip(ids, rng.integers(1, 50, clients).tolist(), strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_the_average_has_the_same_bits_whatever_the_grouping(seed):
    ids, start, came, sizes = random_round(seed)
    at, asked = world(ids, 30), orders(ids, start)
    groupings = [
        Groups.one(np.array(ids)),
        Groups.alone(np.array(ids)),
        Groups.make({i: i % 3 for i in ids}, numbers=range(4)),
    ]
    found = set()
    for groups in groupings:
        mean, door = Mean(), answer(asked, came, layout(30), sizes)
        before = View(0, groups, np.repeat(start[None], groups.numbers.size, 0), start, None)
        memory = mean.init(at, start, groups)
        found.add(digest(mean.merge(at, memory, before, groups, asked, door, common=True).average))
    assert len(found) == 1
    weights = np.array([sizes[i] for i in sorted(ids)], float)
    steps = np.stack([came[i] - start.astype(float) for i in sorted(ids)])
    by_hand = (start + (weights[:, None] * steps).sum(0) / weights.sum()).astype(np.float32)
    door = answer(asked, came, layout(30), sizes)
    before = View(0, groupings[0], start[None], start, None)
    one = Mean().merge(at, Mean().init(at, start, groupings[0]), before, groupings[0], asked, door, common=True)
    assert np.abs(one.average - by_hand).max() <= 1e-6
    assert np.array_equal(one.models[0], one.average)


def test_the_average_is_no_sum_of_group_sums():
    # in the order of ids (2⁶⁰ + 1) − 2⁶⁰ = 0 in float64; summed by groups {1, 3} and {2} it would be 1
    ids, start = [1, 2, 3], np.zeros(D, np.float32)
    came = {1: np.full(D, 2.0**60, np.float32), 2: np.ones(D, np.float32), 3: np.full(D, -(2.0**60), np.float32)}
    for groups in (Groups.one(np.array(ids)), Groups.make({1: 0, 3: 0, 2: 1})):
        before = View(0, groups, np.repeat(start[None], groups.numbers.size, 0), start, None)
        asked = orders(ids, start)
        out = Mean().merge(
            world(ids, D),
            Mean().init(world(ids, D), start, groups),
            before,
            groups,
            asked,
            answer(asked, came, layout(D)),
            common=True,
        )
        assert not out.average.any()


def test_alone_is_each_clients_own_end():
    ids, start, came, sizes = random_round(7)
    groups, at = Groups.alone(np.array(ids)), world(ids, 30)
    starts = np.stack([start, start + 1])
    asked = orders(ids, starts, [n % 2 for n in range(len(ids))])
    before = View(0, groups, np.repeat(start[None], len(ids), 0), start, None)
    mean = Mean()
    out = mean.merge(
        at, mean.init(at, start, groups), before, groups, asked, answer(asked, came, layout(30), sizes), common=False
    )
    assert np.array_equal(out.models, np.stack([came[i] for i in sorted(ids)]))


def test_nothing_given_is_changed_and_memory_goes_through_files():
    came, memory = ends(a=(4, 2), c=(1, 1)), Momentum(np.ones((2, D), np.float32), GROUPS, single=False)
    memory.buffer.flags.writeable = False
    before = view(GROUPS, APART)
    kept = digest(memory.buffer, before.models, before.average, *came.values())
    out = apart(Mean(momentum=0.7, balance=0.5), came, memory, before=before)
    assert digest(memory.buffer, before.models, before.average, *came.values()) == kept
    arrays, skeleton = take(out.memory)
    again = put(arrays, skeleton, classes_of(out.memory))
    assert np.array_equal(again.buffer, out.memory.buffer) and again.groups == GROUPS and not again.single


@pytest.mark.parametrize(
    ("key", "value"),
    [("momentum", 1.0), ("momentum", -0.1), ("balance", 1.5), ("weights", "size"), ("nesterov", True)],
)
def test_ranges(key, value):
    with pytest.raises(UserError, match=f"mean.{key}") as found:
        Mean(**{key: value})
    assert found.value.key == f"mean.{key}" and found.value.found == value


def test_the_table():
    part: Aggregate[Momentum] = KINDS["mean"]()
    assert part.weights == "samples"
