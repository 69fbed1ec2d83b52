"""Linkage as a part: surveys, cohorts, floors, names that live on, and order that does not matter."""

import numpy as np
import pytest

from disue.core.checks import digest
from disue.core.errors import UserError
from disue.core.groups import UNKNOWN, Groups
from disue.core.layout import WHOLE
from disue.core.method import Grouping
from disue.core.orders import Sight
from disue.core.tree import classes_of, put, take
from disue.parts.grouping import KINDS, Alone, Fixed, Linkage, OneGroup, Oracle, Random, Seen
from disue.parts.grouping.metrics import between, compared, to_anchors
from fakes import FakeUploads, answer, orders, world

D = 12
START = np.linspace(-1, 1, D).astype(np.float32)

# Three families of which two lie close: cosines of their directions are 0.8, 0 and 0.6
NEAR = np.zeros((3, D), np.float32)
NEAR[0, 0], NEAR[1, :2], NEAR[2, 1] = 1, (0.8, 0.6), 1


def client_ids(count, seed=0):
    return sorted(np.random.default_rng(seed).choice(50_000, count, replace=False).tolist())


def updates(ids, family, noise=0.02, seed=1):
    """Ends of clients whose updates point along their family's direction, with lengths that differ."""
    out = {}
    for i in ids:
        rng = np.random.default_rng([seed, i])
        step = NEAR[family[i]] + noise * rng.normal(size=D)
        out[i] = (START + (0.5 + rng.random()) * step).astype(np.float32)
    return out


def families(ids):
    return {i: n % 3 for n, i in enumerate(ids)}


def run(part, at, came, groups=None, memory=None, *, survey=False, round=0, asked=None):
    first = part.init(at)
    asked = asked or orders(sorted(came), START, round=round)
    return part.assign(
        at,
        first.groups if groups is None else groups,
        first.memory if memory is None else memory,
        asked,
        answer(asked, came, at.layout),
        survey=survey,
    )


def partition(groups):
    return sorted(groups.members(int(g)).tolist() for g in groups.present())


def by_family(family):
    return sorted(sorted(i for i in family if family[i] == f) for f in set(family.values()))


@pytest.mark.parametrize("linkage", ["average", "weighted", "complete", "single"])
def test_three_families_of_which_two_lie_close(linkage):
    ids = client_ids(15)
    family = families(ids)
    out = run(Linkage(k=3, part="whole", linkage=linkage), world(ids, D), updates(ids, family), survey=True)
    assert partition(out.groups) == by_family(family)
    assert out.groups.numbers.tolist() == [0, 1, 2] and out.groups.at(np.array(ids[:1])) == 0
    two = run(Linkage(k=2, part="whole", linkage=linkage), world(ids, D), updates(ids, family), survey=True)
    close = [i for i in ids if family[i] < 2]
    assert close in partition(two.groups)


def test_the_rule_finds_them_and_distance_too():
    ids = client_ids(18)
    family = families(ids)
    for part in (Linkage(part="whole"), Linkage(part="whole", distance=0.1)):
        assert partition(run(part, world(ids, D), updates(ids, family), survey=True).groups) == by_family(family)


def test_only_the_part_is_compared():
    # families differ in the body (first entries); the head (last four) is the same for all
    ids = client_ids(9)
    came = updates(ids, families(ids), noise=0.0)
    came = {i: end + np.r_[np.zeros(D - 4), np.ones(4)].astype(np.float32) for i, end in came.items()}
    at = world(ids, D)
    assert partition(run(Linkage(k=3, part="conv*"), at, came, survey=True).groups) == by_family(families(ids))
    cos = run(Linkage(k=3, part="head"), at, came, survey=True).info.arrays["similarity"]
    assert np.allclose(cos, 1)
    with pytest.raises(UserError, match="meets no tensor"):
        Linkage(part="lstm*").init(at)


def test_what_the_round_says():
    ids = client_ids(12)
    family = families(ids)
    info = run(Linkage(k=3, part="whole"), world(ids, D), updates(ids, family, noise=0.0), survey=True).info
    assert info.values["groups_found"] == 3
    assert np.isclose(info.values["cosine_within"], 1)
    assert np.isclose(info.values["cosine_between"], (0.8 + 0.6 + 0) / 3)
    assert np.isclose(info.values["cosine_gap"], 1 - 1.4 / 3) and np.isclose(info.values["silhouette"], 1)
    assert info.arrays["similarity"].shape == (12, 12) and info.arrays["similarity"].dtype == np.float32
    assert info.arrays["similarity_ids"].tolist() == ids and info.notes == ()


# -- order, names, ties ------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [Linkage(k=4, part="whole", floor=2), Linkage(part="whole", when="cohort")])
def test_the_order_of_answers_does_not_matter(part):
    ids = client_ids(14)
    came = updates(ids, families(ids), noise=0.3)
    shuffled = {i: came[i] for i in np.random.default_rng(3).permutation(ids).tolist()}
    at, other = world(ids, D), world(list(shuffled), D)
    a, b = run(part, at, came, survey=True), run(part, other, shuffled, survey=True)
    assert a.groups == b.groups and a.info.values == b.info.values


def test_a_door_may_give_similarities_in_any_order():
    class Backwards(FakeUploads):
        def cosine(self, of=WHOLE, anchors=None):
            return super().cosine(of, anchors).among(self.ids[::-1])

    came = dict.fromkeys((9, 4001, 17, 902), START + 1)  # nothing but ties
    at, part = world(list(came), D), Linkage(k=2, part="whole")
    door = Backwards(came, START, at.layout, START)
    first = part.init(at)
    out = part.assign(at, first.groups, first.memory, orders(sorted(came), START), door, survey=True)
    assert out.groups.as_dict() == {9: 0, 17: 0, 902: 0, 4001: 1}


@pytest.mark.parametrize("noise", [0.0, 0.3])  # 0: nothing but ties
@pytest.mark.parametrize("when", ["survey", "cohort"])
def test_renaming_in_the_same_order_renames_the_result(noise, when):
    ids = client_ids(14)
    family = families(ids)
    came = updates(ids, family, noise)
    new = {i: 3 * n + 100_000 + n * n for n, i in enumerate(ids)}
    part = Linkage(k=5, part="whole", when=when, floor=2)
    a = run(part, world(ids, D), came, survey=when == "survey")
    renamed = {new[i]: end for i, end in came.items()}
    b = run(part, world(list(new.values()), D), renamed, survey=when == "survey")
    assert {new[i]: g for i, g in a.groups.as_dict().items()} == b.groups.as_dict()
    assert a.info.values == b.info.values


def test_equal_updates_are_parted_by_id():
    came = dict.fromkeys((9, 4001, 17, 902), START + 1)
    out = run(Linkage(k=2, part="whole"), world(list(came), D), came, survey=True)
    assert out.groups.as_dict() == {9: 0, 17: 0, 902: 0, 4001: 1}
    assert len(run(Linkage(part="whole"), world(list(came), D), came, survey=True).groups.numbers) == 1


def test_degenerate_cohorts():
    one = run(Linkage(k=3), world((17,), D), {17: START + 1}, survey=True)
    assert one.groups.as_dict() == {17: 0} and "1 clients answered" in one.info.notes[0]
    ids = (17, 902, 4001)
    came = {17: START + 1, 902: START, 4001: START - 1}
    out = run(Linkage(k=7), world(ids, D), came, survey=True)
    assert out.groups.as_dict() == {17: 0, 902: 1, 4001: 2}
    assert "7 groups asked for, 3 made" in out.info.notes[0]
    assert "[902]" in out.info.notes[1] and "similar to nobody" in out.info.notes[1]


def test_floors_hold():
    ids = client_ids(13)
    came = updates(ids, families(ids), noise=0.5)
    for floor in (2, 3, 5):
        for when in ("survey", "cohort"):
            part = Linkage(k=6, part="whole", floor=floor, when=when)
            out = run(part, world(ids, D), came, survey=when == "survey")
            assert out.groups.sizes().min() >= floor
    assert any(f"with at least {floor} members" in note for note in out.info.notes)


# -- surveys -----------------------------------------------------------------------------------------


def test_when_a_survey_is_due():
    small, large = world((902, 17, 4001), D), world(range(1001), D)
    assert Linkage().survey(small, 0).tolist() == [17, 902, 4001]
    assert Linkage().survey(small, 10) is None
    part = Linkage(regroup=5)
    assert [part.survey(small, r) is not None for r in (0, 4, 5, 10)] == [True, False, True, True]
    assert Linkage().survey(large, 0) is None
    assert Linkage(when="cohort").survey(small, 0) is None


def test_all_are_together_until_the_survey_comes():
    at = world((902, 17, 4001), D)
    assert Linkage().init(at).groups == Groups.one(at.census.ids)
    assert not Linkage(when="cohort").init(at).groups.ids.size


def test_groups_of_a_survey_are_kept_and_a_second_survey_keeps_their_names():
    ids = client_ids(12)
    family, at, part = families(ids), world(ids, D), Linkage(k=3, part="whole", regroup=2)
    first = run(part, at, updates(ids, family), survey=True)
    cohort = run(part, at, updates(ids[:4], dict.fromkeys(ids, 0)), first.groups, first.memory, round=1)
    assert cohort.groups == first.groups and not cohort.info.values
    moved = {**family, ids[0]: 1}
    again = run(part, at, updates(ids, moved), first.groups, first.memory, survey=True, round=2)
    assert partition(again.groups) == by_family(moved)
    assert again.groups.numbers.tolist() == first.groups.numbers.tolist()
    stayed = [i for i in ids if i != ids[0]]
    assert np.array_equal(again.groups.at(np.array(stayed)), first.groups.at(np.array(stayed)))


def test_who_missed_the_survey_is_placed_when_first_seen():
    ids = client_ids(15)
    family, at, part = families(ids), world(ids, D), Linkage(k=3, part="whole")
    late = ids[-3:]  # one of each family
    first = run(part, at, updates(ids[:-3], family), survey=True)
    assert (first.groups.at(np.array(late)) == UNKNOWN).all()
    # nobody of the cohort was in the survey: the groups' directions tell
    second = run(part, at, updates(late, family, noise=0.1), first.groups, first.memory)
    assert partition(second.groups) == by_family(family) and second.info.values == {"placed": 3}
    assert not second.memory.directions.numbers.size  # everybody is placed: nothing more to keep


def test_a_large_federation_is_formed_by_its_first_cohort():
    ids = list(range(5, 5 + 3 * 1100, 3))
    family, at, part = families(ids), world(ids, D), Linkage(k=3, part="whole", regroup=4)
    first = run(part, at, updates(ids[:30], family))
    assert partition(first.groups) == by_family({i: family[i] for i in ids[:30]})
    second = run(part, at, updates(ids[500:520], family), first.groups, first.memory, round=1)
    assert partition(second.groups) == by_family({i: family[i] for i in ids[:30] + ids[500:520]})
    assert second.memory.directions.numbers.tolist() == [0, 1, 2]
    # regrouping: the cohort stands for the survey, the absent keep their groups
    turned = {i: (family[i] + 1) % 3 if i in ids[:3] else family[i] for i in ids}
    third = run(part, at, updates(ids[:12], turned), second.groups, second.memory, round=4)
    assert third.groups.at(np.array(ids[500:520])).tolist() == second.groups.at(np.array(ids[500:520])).tolist()
    assert partition(third.groups.among(np.array(ids[:12]))) == by_family({i: turned[i] for i in ids[:12]})


def test_directions_are_updates_also_where_groups_start_apart():
    ids = client_ids(12)
    family, at, part = families(ids), world(ids, D), Linkage(k=3, part="whole")
    first = run(part, at, updates(ids[:9], family), survey=True)
    # next round each group starts from a vector of its own, far from the others
    shift = np.array([0, 40, -70], np.float32)
    numbers = first.groups.at(np.array(ids[:9]))
    asked = orders(ids[:9], START + shift[:, None], numbers, round=1)
    assert asked.origin is None
    came = {i: end + shift[g] for (i, end), g in zip(updates(ids[:9], family, seed=5).items(), numbers, strict=True)}
    second = run(part, at, came, first.groups, first.memory, asked=asked)
    rows = second.memory.directions.rows
    for g, row in zip(second.memory.directions.numbers, rows, strict=True):
        member = first.groups.members(int(g))[0]
        assert float(row @ NEAR[family[int(member)]]) / np.linalg.norm(row) > 0.98


def test_without_directions_present_members_tell():
    ids = client_ids(9)
    family, at, part = families(ids), world(ids, D), Linkage(k=3, part="whole")
    groups = Groups.make({i: family[i] + 4 for i in ids[:6]})
    out = run(part, at, updates(ids[2:], family), groups, Seen(formed=True))
    assert out.groups.at(np.array(ids)).tolist() == [family[i] + 4 for i in ids]
    lost = run(part, at, updates(ids[6:], family), groups, Seen(formed=True))
    assert lost.groups == groups and "3 new clients" in lost.info.notes[0]


# -- cohorts -----------------------------------------------------------------------------------------


def test_absent_clients_stay_and_the_never_seen_are_unknown():
    ids = client_ids(18)
    family, at, part = families(ids), world(ids, D), Linkage(k=3, part="whole", when="cohort")
    first = run(part, at, updates(ids[:9], family))
    assert (first.groups.at(np.array(ids[9:])) == UNKNOWN).all()
    second = run(part, at, updates(ids[6:15], family, seed=9), first.groups, first.memory, round=1)
    assert np.array_equal(second.groups.at(np.array(ids[:6])), first.groups.at(np.array(ids[:6])))
    assert partition(second.groups) == by_family({i: family[i] for i in ids[:15]})
    assert second.groups.numbers.tolist() == first.groups.numbers.tolist()


def test_groups_do_not_pile_up_over_rounds():
    ids = client_ids(30)
    at, part = world(ids, D), Linkage(k=5, part="whole", when="cohort")
    groups, memory, rng = part.init(at).groups, Seen(), np.random.default_rng(0)
    for r in range(40):
        cohort = sorted(rng.choice(ids, 10, replace=False).tolist())
        out = run(part, at, updates(cohort, families(ids), noise=1.0, seed=r), groups, memory, round=r)
        groups, memory = out.groups, out.memory
        assert groups.sizes().min() > 0
    assert groups.numbers.size <= 30 and groups.born > groups.numbers.size


def test_the_number_of_groups_is_smoothed_over_cohorts():
    ids = client_ids(24)
    three, at, part = families(ids), world(ids, D), Linkage(part="whole", when="cohort", k_max=6)
    first = run(part, at, updates(ids, three))
    assert first.memory.k == 3 and first.memory.scores.shape == (1, 5)
    memory, ks = first.memory, []
    for r in range(1, 8):
        came = updates(ids, dict.fromkeys(ids, 0), noise=0.0)
        memory = run(part, at, came, first.groups, memory, round=r).memory
        ks.append(memory.k)
        assert memory.scores.shape[0] <= 5
    assert ks == [3, 3, 3, 3, 2, 1, 1]  # the mean of five rounds, and one step at a time
    arrays, skeleton = take(memory)
    assert np.array_equal(put(arrays, skeleton, classes_of(memory)).scores, memory.scores)


def test_nothing_given_is_changed():
    ids = client_ids(12)
    at, part, came = world(ids, D), Linkage(k=3, part="whole"), updates(ids, families(ids))
    first = run(part, at, updates(ids[:9], families(ids)), survey=True)
    held = (first.groups.ids, first.groups.of, first.memory.directions.rows, *came.values())
    for array in held:
        array.flags.writeable = False
    before = digest(*held)
    run(part, at, came, first.groups, first.memory)
    assert digest(*held) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 0},
        {"distance": 0.0},
        {"distance": 2.5},
        {"k": 3, "distance": 0.5},
        {"choose": "elbow"},
        {"k_max": 1},
        {"linkage": "ward"},
        {"linkage": "median"},
        {"metric": "l2"},
        {"metric": "l1", "linkage": "ward"},
        {"metric": "euclidean", "distance": 0.0},
        {"after": -1},
        {"when": "cohort", "after": 2},
        {"epochs": -1},
        {"part": " "},
        {"floor": 0},
        {"when": "always"},
        {"regroup": -1},
        {"when": "cohort", "regroup": 3},
    ],
)
def test_ranges(wrong):
    with pytest.raises(UserError) as found:
        Linkage(**wrong)
    key = list(wrong)[-1]
    assert found.value.key == f"linkage.{key}" and found.value.found == wrong[key]
    assert str(found.value).startswith(f"linkage.{key} must be")


# -- groups that are given ---------------------------------------------------------------------------


def test_one_and_alone_take_in_strangers():
    at = world((902, 17), D)
    came = {17: START, 902: START, 4001: START, 5: START}
    assert run(OneGroup(), at, came).groups.as_dict() == {5: 0, 17: 0, 902: 0, 4001: 0}
    alone = run(Alone(), at, came).groups
    assert alone.as_dict() == {5: 2, 17: 0, 902: 1, 4001: 3}
    assert run(Alone(), at, {17: START}).groups == Groups.alone(at.census.ids)


def test_fixed_and_oracle():
    at = world((902, 17, 4001), D, truth={17: 3, 902: 3, 4001: 1})
    assert Oracle().init(at).groups.as_dict() == {17: 3, 902: 3, 4001: 1}
    assert Fixed({"17": 0, "902": 1, "4001": 1}).init(at).groups.as_dict() == {17: 0, 902: 1, 4001: 1}
    with pytest.raises(UserError, match="1 of 3 are missing, the first is 4001"):
        Fixed({17: 0, 902: 1}).init(at)
    with pytest.raises(UserError, match="none"):
        Oracle().init(world((17,), D))
    for wrong in ({"x": 1}, {17: "b"}, [1, 2], {17: -1}):
        with pytest.raises(UserError, match=r"fixed\.groups"):
            Fixed(wrong)


def test_random_groups_are_even_seeded_and_independent_of_order():
    ids = client_ids(11)
    groups = Random(3).init(world(ids, D)).groups
    assert sorted(groups.sizes().tolist()) == [3, 4, 4]
    assert Random(3).init(world(ids[::-1], D)).groups == groups
    assert Random(3).init(world(ids, D, seed=1)).groups != groups
    few = Random(30).init(world(ids, D))
    assert few.groups.numbers.size == 11 and "11 clients" in few.info.notes[0]
    with pytest.raises(UserError, match=r"random\.k must be ≥ 1, got 0"):
        Random(0)


def test_the_table_and_sights():
    given = {"one", "alone", "fixed", "oracle", "random"}
    assert set(KINDS) == given | {
        "linkage",
        "choice",
        "nearest",
        "bipartition",
        "cold-start",
        "principal-angles",
        "shares",
    }
    part: Grouping[Seen] = Linkage(when="cohort")
    assert part.sight == {Sight.COSINE} and Linkage().sight == {Sight.COSINE, Sight.SUMS}
    assert not OneGroup().sight


def test_one_direction_at_many_lengths_is_one_group():
    # what float32 leaves of 1 − cos is no structure, however large its silhouette
    step = np.random.default_rng(0).normal(size=D)
    came = {i: (START + n * step / 7).astype(np.float32) for n, i in enumerate(client_ids(12), start=1)}
    for rule in ("silhouette", "gap"):
        out = run(Linkage(choose=rule, part="whole"), world(list(came), D), came, survey=True)
        assert out.groups.numbers.tolist() == [0]


# -- other distances -----------------------------------------------------------------------------------


def along(ids, lengths):
    """Updates of given lengths along one direction, whose entries sum to twice their Euclidean length."""
    step = np.zeros(D, np.float32)
    step[:4] = 0.5
    return {i: (START + length * step).astype(np.float32) for i, length in zip(ids, lengths, strict=True)}


@pytest.mark.hand("flhc", "fedclust")
@pytest.mark.parametrize(("metric", "scale"), [("euclidean", 1.0), ("l1", 2.0)])
def test_lengths_0_01_5_part_at_1(metric, scale):
    ids = (17, 902, 4001)
    at, came = world(ids, D), along(ids, (0.0, 0.1, 5.0))
    for cut in ({"distance": scale}, {"k": 2}):
        out = run(Linkage(metric=metric, part="whole", **cut), at, came, survey=True)
        assert out.groups.as_dict() == {17: 0, 902: 0, 4001: 1}
    assert (
        run(Linkage(distance=scale * 0.09, metric=metric, part="whole"), at, came, survey=True).groups.sizes().size == 3
    )
    assert (
        run(Linkage(distance=scale * 5.0, metric=metric, part="whole"), at, came, survey=True).groups.sizes().size == 1
    )
    # 1 − cosine sees one direction, and the client that did not move
    assert run(Linkage(distance=0.5, part="whole"), at, came, survey=True).groups.as_dict() == {17: 0, 902: 1, 4001: 1}


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "l1"])
def test_distances_are_their_definition(metric):
    rng = np.random.default_rng(0)
    ids = client_ids(6)
    at = world(ids, D)
    came = {i: rng.normal(size=D).astype(np.float32) for i in ids}
    door = answer(orders(ids, START), came, at.layout)
    part = Linkage(metric=metric, part="conv*").parts[0]
    mask = at.layout.mask(part)
    rows = np.stack([came[i] - START for i in ids])[:, mask].astype(np.float64)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    apart = {
        "cosine": 1 - unit @ unit.T,
        "euclidean": np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(-1)),
        "l1": np.abs(rows[:, None] - rows[None]).sum(-1),
    }[metric]
    points = compared(metric, part, mask, door, at.streams, False)
    np.testing.assert_allclose(points.distances, apart, atol=1e-6)
    np.testing.assert_allclose(points.values, unit @ unit.T, atol=1e-6)
    some = np.array(ids[3:1:-1])
    np.testing.assert_allclose(between(metric, part, mask, door, some), apart[:, [3, 2]], atol=1e-6)
    anchors = rows[[1, 5]].astype(np.float32)
    np.testing.assert_allclose(to_anchors(metric, part, mask, door, anchors, some), apart[[1, 5]][:, [3, 2]], atol=1e-6)


@pytest.mark.parametrize("metric", ["euclidean", "l1"])
def test_who_missed_the_survey_goes_to_the_nearest_mean(metric):
    ids = (17, 902, 4001, 5)
    at, part = world(ids, D), Linkage(k=2, metric=metric, part="whole")
    first = run(part, at, along(ids[:3], (1.0, 1.2, 5.0)), survey=True)
    late = run(part, at, along(ids[3:], (3.5,)), first.groups, first.memory)
    assert late.groups.as_dict() == {17: 0, 902: 0, 4001: 1, 5: 1}
    blind = run(part, at, along(ids, (1.0, 1.2, 5.0, 3.5)), first.groups, Seen(formed=True))  # by members present
    assert blind.groups == late.groups


def test_a_late_survey():
    small, large, part = world((902, 17, 4001), D), world(range(1001), D), Linkage(k=2, after=3, regroup=4)
    assert [r for r in range(12) if part.survey(small, r) is not None] == [3, 7, 11]
    ids = client_ids(9)
    family, part = families(ids), Linkage(k=3, part="whole", after=3)
    early = run(part, world(ids, D), updates(ids, family), round=2)
    assert early.groups == Groups.one(np.array(ids)) and not early.memory.formed
    assert partition(run(part, world(ids, D), updates(ids, family), survey=True, round=3).groups) == by_family(family)
    first = run(part, large, updates(range(30), families(range(30))), round=3)  # its first cohort from then on
    assert partition(first.groups) == by_family(families(range(30)))


def test_what_a_distance_must_see():
    seen = {metric: Linkage(metric=metric, when="cohort").sight for metric in ("cosine", "euclidean", "l1")}
    assert seen == {"cosine": {Sight.COSINE}, "euclidean": {Sight.GRAM}, "l1": {Sight.VECTORS}}
