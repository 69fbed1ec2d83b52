"""What robust aggregates share: identities with the mean, groups, momentum and lineage, order and names of clients."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from robust_bed import IDS, D, rows, rule, told

from disue.core.checks import digest
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import View
from disue.core.orders import Sight
from disue.core.tree import classes_of, put, take
from disue.parts.aggregate import Mean
from disue.parts.aggregate.robust import KINDS
from disue.parts.aggregate.robust.base import Sample
from fakes import answer, orders, world

INF = float("inf")
EASY = {kind: {} if kind in ("clipped", "centred", "foolsgold") else {"liars": 0} for kind in KINDS}


def random_updates(seed=0, clients=11, d=D):
    rng = np.random.default_rng(seed)
    return dict(zip(IDS, rng.normal(size=(clients, d)).astype(np.float32), strict=False))


def sizes_of(seed=0):
    return dict(zip(IDS, np.random.default_rng(seed).integers(1, 50, len(IDS)).tolist(), strict=True))


# -- identities --------------------------------------------------------------------------------------------

OFF = {"trimmed": {"liars": 0}, "clipped": {"bound": INF}, "centred": {"radius": INF}}
THREE = Groups.make({i: n % 3 for n, i in enumerate(IDS)})


@pytest.mark.parametrize("weights", ["samples", "uniform"])
@pytest.mark.parametrize("kind", OFF)
def test_switched_off_a_rule_is_the_mean_bit_for_bit(kind, weights):
    settings = {"momentum": 0.7, "balance": 0.3, "weights": weights}
    updates, sizes = random_updates(), sizes_of()
    start = np.random.default_rng(9).normal(size=D).astype(np.float32)
    for groups in (Groups.one(np.array(IDS)), THREE):
        ours, theirs = rule(kind, **OFF[kind], **settings), _Meaned(Mean(**settings))
        memory = None, None
        for round in range(2):
            a = told(ours, updates, start=start, sizes=sizes, groups=groups, memory=memory[0], round=round)
            b = told(theirs, updates, start=start, sizes=sizes, groups=groups, memory=memory[1], round=round)
            assert digest(a.models, a.average) == digest(b.models, b.average)
            memory = a.memory, b.memory


class _Meaned:
    """`Mean` as it is, for a bed that is made for rules."""

    def __init__(self, mean):
        self.init, self.merge, self.weights = mean.init, mean.merge, mean.weights


@pytest.mark.parametrize("weights", ["samples", "uniform"])
def test_what_cuts_nothing_is_the_mean(weights):
    """The same by the rule's own arithmetic, which nobody switched off."""
    updates, sizes, nine = random_updates(), sizes_of(), THREE.among(np.array(IDS[:9]))  # three in each group
    mean = told(_Meaned(Mean(weights=weights)), updates, sizes=sizes, groups=nine)
    for part in (
        rule("clipped", bound=1e9, weights=weights),
        rule("centred", radius=1e9, weights=weights),
        rule("krum", liars=0, select=3, weights=weights),
    ):
        out = told(part, updates, sizes=sizes, groups=nine)
        assert np.allclose(out.models, mean.models, rtol=0, atol=1e-6)
        assert np.allclose(out.average, mean.average, rtol=0, atol=1e-6)
    ids, values = np.array(sorted(IDS)), np.stack([updates[i] for i in sorted(IDS)]).astype(np.float64)
    each = np.array([sizes[i] if weights == "samples" else 1.0 for i in sorted(IDS)])
    untrimmed = rule("trimmed", liars=0, weights=weights).centre(Sample(ids, values, each))
    assert np.allclose(untrimmed, np.average(values, axis=0, weights=each), rtol=1e-12)


def test_krum_that_selects_all_is_the_mean_of_all():
    updates = random_updates(clients=7)
    out = told(rule("krum", liars=1, select=7), updates)
    assert np.allclose(out.average, np.mean(list(updates.values()), axis=0, dtype=np.float64), atol=1e-7)


def test_bulyan_without_liars_is_the_mean_of_all():
    updates = random_updates(clients=7)
    out = told(rule("bulyan", liars=0), updates)
    assert np.allclose(out.average, np.mean(list(updates.values()), axis=0, dtype=np.float64), atol=1e-7)


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("krum", "bulyan")])
def test_of_one_member_the_centre_is_its_update(kind):
    own = {"clipped": {"bound": 9.0}, "centred": {"radius": 9.0}}.get(kind, EASY[kind])
    out = told(rule(kind, **own), {17: np.array([1, 2, 3, 4], np.float32)}, start=np.full(D, 5, np.float32))
    assert out.average.tolist() == [6, 7, 8, 9]


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "foolsgold"])
def test_buckets_of_one_are_none_and_larger_ones_are_means(kind):
    updates, sizes = random_updates(), sizes_of()
    plain = told(rule(kind, **EASY[kind]), updates, sizes=sizes)
    one = told(rule(kind, buckets=1, **EASY[kind]), updates, sizes=sizes)
    assert digest(plain.average) == digest(one.average)
    # a bucket of all is the mean, which every rule keeps where it is the only row
    if kind in ("median", "trimmed", "geometric-median"):
        whole = told(rule(kind, buckets=99, weights="samples", **EASY[kind]), updates, sizes=sizes)
        mean = told(_Meaned(Mean()), updates, sizes=sizes)
        assert np.allclose(whole.average, mean.average, atol=1e-7)
    three = [told(rule(kind, buckets=3, **EASY[kind]), updates, sizes=sizes, seed=seed).average for seed in (0, 0, 1)]
    assert digest(three[0]) == digest(three[1])
    if kind != "bulyan":  # without liars it is the mean, and of four buckets alike
        assert digest(three[0]) != digest(three[2]) or kind in ("trimmed", "clipped", "centred")


def test_buckets_by_hand():
    """Of every draw: the median of two buckets' means is the mean of these."""
    for seed in range(4):
        out = told(rule("median", buckets=2, liars=0), rows(0, 2, 4, 6), seed=seed)
        assert out.average[0] == 3
    # three rows of two, of one liar at 60: the bucket that holds it is above the two others, whose larger is the median
    found = {float(told(rule("median", buckets=2), rows(0, 0, 0, 0, 6, 60), seed=s).average[0]) for s in range(12)}
    assert found == {0.0, 3.0}


# -- groups ------------------------------------------------------------------------------------------------


def test_each_group_has_its_own_centre_and_the_average_is_theirs_by_weight():
    groups = Groups.make({4001: 0, 17: 0, 902: 0, 23: 5, 7777: 5, 5: 5})
    out = told(rule("median"), rows(0, 1, 100, 10, 11, 500), groups=groups)
    assert out.models[:, 0].tolist() == [1, 11] and out.average[0] == 6
    sizes = {4001: 1, 17: 1, 902: 1, 23: 3, 7777: 3, 5: 3}
    out = told(rule("median", weights="samples"), rows(0, 1, 100, 10, 11, 500), groups=groups, sizes=sizes)
    assert out.average[0] == (3 * 1 + 9 * 11) / 12
    out = told(rule("median", weights="samples", balance=1.0), rows(0, 1, 100, 10, 11, 500), groups=groups, sizes=sizes)
    assert out.average[0] == 6


@pytest.mark.parametrize(
    ("kind", "keys", "needs"),
    [
        ("krum", {"liars": 1}, 5),
        ("krum", {"liars": 0, "select": 6}, 6),
        ("bulyan", {"liars": 1}, 7),
        ("median", {"liars": 2}, 5),
        ("trimmed", {"liars": 2}, 5),
        ("geometric-median", {"liars": 1}, 3),
        ("median", {"liars": 1, "buckets": 3}, 7),
    ],
)
def test_a_group_too_small_keeps_its_model_and_one_of_the_size_needed_moves(kind, keys, needs):
    part = rule(kind, **keys)
    assert part.least == needs
    groups = Groups.make({i: int(n >= needs) for n, i in enumerate((*IDS, *range(100, 100 + 2 * needs)))})
    small = groups.among(np.array([*IDS[:needs], *groups.members(1)[: needs - 1]]))
    updates = {int(i): np.ones(D, np.float32) for i in small.ids}
    models = np.stack([np.zeros(D, np.float32), np.full(D, 7, np.float32)])
    before = View(4, small, models, np.zeros(D, np.float32), None)
    out = told(part, updates, groups=small, before=before, round=4)
    assert out.models[0].tolist() == [1] * D and out.models[1].tolist() == [7] * D
    assert out.average.tolist() == [1] * D  # the group without a centre counts for nothing
    (note,) = out.info.notes
    assert note.startswith(f"round 4: group 1 keeps its model: {needs - 1} of its members answered, {kind}")
    assert f"needs {needs}" in note and out.info.values[f"{kind}.unmoved"] == 1


def test_if_no_group_is_large_enough_nothing_changes():
    out = told(rule("krum"), rows(1, 2), start=np.full(D, 3, np.float32))
    assert out.average.tolist() == [3] * D and out.models.tolist() == [[3] * D]


def test_groups_that_start_apart_move_from_the_mean_of_their_members_starts():
    # group 0 holds two that started from (1, …) and one that came over from (9, …): updates 1, 2, 90; mean start 11/3
    groups = Groups.make({4001: 0, 17: 0, 902: 0, 23: 1})
    starts = np.stack([np.full(D, 1, np.float32), np.full(D, 9, np.float32)])
    ups = {4001: 1.0, 17: 2.0, 902: 90.0, 23: 4.0}
    asked = orders(list(ups), starts, [0, 0, 1, 1])
    came = {i: starts[row] + np.float32(u) for (i, u), row in zip(ups.items(), (0, 0, 1, 1), strict=True)}
    at, part = world(list(ups), D), rule("median", liars=0)
    before = View(0, groups, starts, starts.mean(axis=0), None)
    out = part.merge(
        at,
        part.init(at, starts[0], groups),
        before,
        groups,
        asked,
        answer(asked, came, at.layout, weights=part.weights),
        common=False,
    )
    assert np.allclose(out.models[:, 0], [11 / 3 + 2, 13]) and np.isclose(out.average[0], (3 * (11 / 3 + 2) + 13) / 4)


def test_where_clients_start_from_their_own_a_start_is_not_taken_on_trust():
    """Updates are then about the group's model: a liar that claims a far start is far."""
    groups, start = Groups.one(np.array(IDS[:3])), np.full(D, 2, np.float32)
    asked = replace(orders(IDS[:3], start), own=True, origin=None)
    at, part = world(IDS[:3], D), rule("median")
    came = dict(zip(IDS[:3], (start + 1, start + 2, start + 1e6), strict=True))
    door = replace(answer(asked, came, at.layout, weights=part.weights), starts={IDS[2]: start + 1e6}, origin=None)
    out = part.merge(at, part.init(at, start, groups), View(0, groups, start[None], start, None), groups, asked, door,
                     common=False)  # fmt: skip
    assert out.average.tolist() == [4] * D


def test_momentum_is_the_means():
    # step 2, v = 2; then step 4: v = 0.5 · 2 + 4
    part = rule("median", momentum=0.5)
    first = told(part, rows(1, 2, 900))
    assert first.average[0] == 2 and first.memory.mean.buffer[0][0] == 2
    second = told(part, rows(4, 4, 900), memory=first.memory, start=first.average, round=1)
    assert second.average[0] == 7


def test_the_last_centre_follows_the_lineage():
    groups = Groups.make(dict.fromkeys(IDS[:4], 0))
    part = rule("centred", radius=1.0)
    first = told(part, rows(5, 5, 5, 5), groups=groups)
    assert first.memory.rule.rows[0][0] == 1
    after = groups.split(0, [np.array(IDS[:2]), np.array(IDS[2:4])])
    out = told(part, rows(5, 5, 5, 5), groups=after, memory=first.memory, round=1, before=View(
        1, groups, first.models, first.average, None))  # fmt: skip
    assert out.memory.rule.groups == after and out.memory.rule.rows[:, 0].tolist() == [2, 2]


# -- names, order, files -----------------------------------------------------------------------------------

DRAWS = {"max_examples": 25, "deadline": None, "derandomize": True}


@pytest.mark.parametrize("kind", KINDS)
@settings(**DRAWS)
@given(seed=st.integers(0, 10_000), order=st.permutations(range(8)), whole=st.booleans())
def test_who_is_who_does_not_matter(kind, seed, order, whole):
    """Other names for the same updates, and so another order of the rows: the same model."""
    assume(not whole or kind not in ("krum", "bulyan"))  # two updates of one score: either is Krum's
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 4, (8, D)) if whole else rng.normal(size=(8, D))  # whole numbers: many ties
    part = rule(kind, **({"liars": 1} if EASY[kind] else {}))
    a = told(part, dict(zip(IDS, values.astype(np.float32), strict=False)))
    b = told(part, dict(zip(IDS, values[list(order)].astype(np.float32), strict=False)))
    assert np.allclose(a.average, b.average, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("foolsgold", "clipped", "centred")])
@settings(**DRAWS)
@given(seed=st.integers(0, 10_000), shift=st.floats(-50, 50), scale=st.floats(0.1, 10))
def test_a_centre_moves_with_the_updates(kind, seed, shift, scale):
    values = np.random.default_rng(seed).normal(size=(9, D))
    part = rule(kind, **({"smoothing": 1e-9} if kind == "geometric-median" else {}))
    plain = part.centre(Sample(np.arange(9), values, np.ones(9)))
    moved = part.centre(Sample(np.arange(9), scale * values + shift, np.ones(9)))
    assert np.allclose(scale * plain + shift, moved, atol=1e-4 * scale)


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("foolsgold", "clipped", "centred")])
@settings(**DRAWS)
@given(seed=st.integers(0, 10_000), size=st.sampled_from([1e3, 1e6, 1e12, 1e30]))
def test_a_liar_of_any_size_leaves_the_centre_among_the_honest(kind, seed, size):
    rng = np.random.default_rng(seed)
    honest = rng.normal(size=(8, D))
    lie = size * rng.normal(size=(1, D))
    at = rule(kind).centre(Sample(np.arange(9), np.concatenate([honest, lie]), np.ones(9)))
    assert np.linalg.norm(at - honest.mean(axis=0)) <= 2 * np.linalg.norm(honest - honest.mean(axis=0), axis=1).max()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_given_is_changed_and_memory_goes_through_files(kind):
    updates = random_updates()
    part = rule(kind, momentum=0.5, **EASY[kind])
    first = told(part, updates)
    kept = digest(*updates.values(), first.memory.mean.buffer)
    second = told(part, updates, memory=first.memory, round=1)
    assert digest(*updates.values(), first.memory.mean.buffer) == kept
    arrays, skeleton = take(first.memory)
    again = put(arrays, skeleton, classes_of(first.memory))
    assert digest(told(part, updates, memory=again, round=1).average) == digest(second.average)


# -- settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("clipped", "bound", -1.0),
        ("clipped", "quantile", 1.5),
        ("trimmed", "trim", 0.5),
        ("krum", "liars", -1),
        ("krum", "select", 0),
        ("median", "buckets", 0),
        ("geometric-median", "iterations", 0),
        ("geometric-median", "smoothing", 0.0),
        ("centred", "radius", 0.0),
        ("centred", "iterations", 0),
        ("foolsgold", "confidence", 0.0),
        ("foolsgold", "of", ""),
    ],
)
def test_ranges(kind, key, value):
    with pytest.raises(UserError, match=f"{kind}.{key}") as found:
        rule(kind, **{key: value})
    assert found.value.key == f"{kind}.{key}"


def test_every_rule_says_that_it_sees_single_vectors():
    assert all(part().sight == {Sight.SUMS, Sight.VECTORS} for part in KINDS.values())


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"kind": "krum", "liars": 3}, "krum with liars = 3 needs 9 members in a group, but a cohort has 8"),
        ({"kind": "bulyan", "liars": 2}, "bulyan with liars = 2 needs 11 members in a group, but a cohort has 8"),
        (
            {"kind": "median", "liars": 1, "buckets": 4},
            "median with liars = 1 and buckets = 4 needs 9 members in a group, but a cohort has 8",
        ),
    ],
)
def test_more_liars_than_a_cohort_can_bear_are_refused_when_the_run_is_built(keys, sentence):
    from disue.api import run

    with pytest.raises(UserError) as found:
        run(spec(keys, cohort={"size": 8}), out=None)
    assert str(found.value) == f"method.aggregate: {sentence}"


def spec(aggregate, **tables):
    return {
        "rounds": 1,
        "data": {"name": "digits"},
        "partition": {"kind": "dirichlet", "clients": 20},
        "method": {"name": "fedavg", "aggregate": aggregate},
        **tables,
    }


def test_they_are_refused_where_single_clients_are_hidden():
    from disue.api import run

    with pytest.raises(UserError, match="must see vectors"):
        run(spec({"kind": "median"}, privacy={"similarity": "sketch"}), out=None)
