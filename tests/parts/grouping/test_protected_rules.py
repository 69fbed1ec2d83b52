"""Rules of grouping that need no single update's length: CFL by root mean squares, FeSEM by this round's cosines."""

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.orders import SQUARE, Sight
from disue.parts.grouping import Bipartition, Linkage, Nearest
from disue.parts.grouping.linkage import Seen
from disue.parts.grouping.nearest import named
from fakes import answer, orders, vec, world

IDS = (4001, 17, 902, 33)
START = vec(0, 0, 0, 0, 0, 0)
# two pairs that pull apart, all of length 5
ENDS = {
    4001: vec(3, 4, 0, 0, 0, 0),
    17: vec(4, 3, 0, 0, 0, 0),
    902: vec(-3, -4, 0, 0, 0, 0),
    33: vec(-4, -3, 0, 0, 0, 0),
}


def asked(ends=ENDS, at=0):
    made = orders(IDS, START[None], round=at)
    squares = {i: np.array([float((end.astype(float) ** 2).sum())]) for i, end in ends.items()}
    return made, answer(made, ends, world(IDS).layout, extras={SQUARE: squares}, weights="uniform")


@pytest.mark.parametrize("norms", ["max", "rms"])
def test_updates_of_one_length_split_alike_by_the_largest_and_by_the_root_mean_square(norms):
    """Mean 0 < 1, largest and root mean square 5 > 2: {17, 4001} and {33, 902}."""
    part = Bipartition(eps1=1.0, eps2=2.0, after=0, every=1, norms=norms)
    made, door = asked()
    out = part.assign(world(IDS), Groups.one(np.array(IDS)), part.init(world(IDS)).memory, made, door, survey=True)
    assert out.groups.as_dict() == {17: 1, 4001: 1, 33: 2, 902: 2}
    assert out.info.values["cfl.largest"] == pytest.approx(5.0) and out.info.values["cfl.mean"] == pytest.approx(0.0)


def test_the_root_mean_square_by_hand():
    """Lengths 5, 5, 5, 10: √((25 + 25 + 25 + 100) / 4) = 6.614; the largest is 10. Mean (−4, −3) / 4."""
    ends = {**ENDS, 33: vec(-8, -6, 0, 0, 0, 0)}
    made, door = asked(ends)
    part = Bipartition(eps1=0.0, eps2=0.0, after=0, every=1, norms="rms")
    out = part.assign(world(IDS), Groups.one(np.array(IDS)), part.init(world(IDS)).memory, made, door, survey=True)
    assert out.info.values["cfl.largest"] == pytest.approx(np.sqrt(175 / 4))
    assert out.info.values["cfl.mean"] == pytest.approx(1.25)


def test_it_needs_no_inner_products():
    assert Bipartition(norms="rms", every=3).sight == {Sight.COSINE, Sight.SUMS}
    assert Bipartition().sight == {Sight.GRAM}
    with pytest.raises(UserError, match="every > 0"):
        Bipartition(norms="rms")
    with pytest.raises(UserError, match='"max" or "rms"'):
        Bipartition(norms="l3")


def test_a_cohort_parted_anew_takes_the_names_of_those_with_whom_it_shares_most():
    part = Nearest(2, centres="round")
    at = world(IDS)
    made, door = asked()
    first = part.assign(at, part.init(at).groups, part.init(at).memory, made, door, survey=False)
    parts = {tuple(first.groups.members(g).tolist()) for g in (0, 1)}
    assert parts == {(17, 4001), (33, 902)} and part.sight == {Sight.COSINE} and part.about == "common"
    swapped = Groups.make({17: 1, 4001: 1, 33: 0, 902: 0})
    again = part.assign(at, swapped, first.memory, made, door, survey=False)
    assert again.groups == swapped and again.info.values["nearest.moved"] == 0
    with pytest.raises(UserError, match='"kept" or "round"'):
        Nearest(centres="none")


def test_names_by_hand():
    """Label 0 shares two members with group 5, label 1 one with group 5 and none with 2: it takes what is left, 2."""
    groups = Groups.make({1: 5, 2: 5, 3: 5}, numbers=(2, 5))
    assert named(groups, np.array([1, 2, 3, 4]), np.array([0, 0, 1, 1])).tolist() == [5, 5, 2, 2]


def test_linkage_asks_nothing_while_all_of_a_cohort_have_their_group():
    part = Linkage(k=2, place="members", regroup=4)
    groups = Groups.make({17: 0, 33: 1})
    assert part.sight == {Sight.COSINE} and Linkage(k=2).sight == {Sight.COSINE, Sight.SUMS}
    assert part.idle(groups, Seen(formed=True), 1, np.array([17, 33]))
    assert not part.idle(groups, Seen(formed=True), 1, np.array([17, 902]))
    assert not part.idle(groups, Seen(formed=True), 4, np.array([17, 33])), "regrouping is due"
    assert not part.idle(groups, Seen(), 1, np.array([17, 33]))
