"""Every rule by hand on tiny vectors, with as many liars as it bears, and with one more, which breaks it."""

import math

import numpy as np
import pytest
from robust_bed import IDS, D, centre, rows, rule, told

from disue.parts.aggregate.robust.foolsgold import trust

FAR = 1e6  # what a liar sends
HONEST = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)  # a rule that is not broken stays among them


def broken(value):
    return not -1.0 <= float(value[0]) <= 7.0


# -- clipped -----------------------------------------------------------------------------------------------


def test_clipped_by_hand():
    # (3, 4) has norm 5 and is cut to (0.6, 0.8); (0, 1) is as it was: mean (0.3, 0.9)
    assert np.allclose(centre(rule("clipped", bound=1.0), (3, 4), (0, 1)), (0.3, 0.9), rtol=1e-7)


def test_clipped_weighs_by_samples_where_told():
    out = centre(rule("clipped", bound=1.0, weights="samples"), (3, 4), (0, 1), sizes={IDS[0]: 3, IDS[1]: 1})
    assert np.allclose(out, (3 * 0.6 / 4, (3 * 0.8 + 1) / 4), rtol=1e-7)


def test_a_bound_holds_each_liar_to_its_share_of_it():
    out = centre(rule("clipped", bound=2.0), (1, 0), (1, 0), (1, 0), (0, FAR))
    assert np.allclose(out, (0.75, 0.5), rtol=1e-7)


def test_the_adaptive_bound_is_a_norm_that_was_sent():
    # norms 1, 2, 3, 10: the median is no mean of 2 and 3, but 2 → 1, 2, 2, 2
    out = told(rule("clipped", quantile=0.5), rows(1, 2, 3, 10))
    assert (
        out.average[0] == 1.75 and out.info.values["clipped.bound"] == 2.0 and out.info.values["clipped.share"] == 0.5
    )


def test_the_adaptive_bound_breaks_where_more_than_one_less_the_quantile_lie():
    part = rule("clipped", quantile=0.5)
    assert not broken(centre(part, 1, 2, 3, FAR, FAR))  # 2 of 5: the bound is 3
    assert broken(centre(part, 1, 2, FAR, FAR, FAR))  # 3 of 5: the bound is theirs


def test_the_adaptive_bound_is_of_all_groups():
    """A group full of liars does not set its own bound."""
    from disue.core.groups import Groups

    ids = IDS[:6]
    groups = Groups.make({i: int(n >= 4) for n, i in enumerate(ids)})
    out = told(rule("clipped"), rows(1, 1, 1, 1, FAR, FAR), groups=groups)
    assert out.models[:, 0].tolist() == [1, 1]


# -- coordinates -------------------------------------------------------------------------------------------


def test_median_by_hand():
    assert centre(rule("median"), (0, 9), (2, 1), (7, 5)).tolist() == [2, 5]
    assert centre(rule("median"), (0, 9), (2, 1), (7, 5), (4, 3)).tolist() == [3, 4]  # the two in the middle


def test_trimmed_by_hand():
    # without smallest and largest: (2 + 3) / 2, and (1 + 5) / 2
    assert centre(rule("trimmed"), (2, 9), (0, 1), (3, 5), (50, -2)).tolist() == [2.5, 3]


def test_trimmed_by_weight():
    # by value 0 (weight 5), 2 (1), 4 (3), 9 (1): (1·2 + 3·4) / 4
    sizes = dict(zip(IDS, (1, 5, 3, 1), strict=False))
    assert centre(rule("trimmed", weights="samples"), 2, 0, 4, 9, sizes=sizes).tolist() == [3.5]


def test_a_share_is_rounded_up_and_no_less_than_the_liars():
    part = rule("trimmed", trim=0.1, liars=0)
    assert [part.dropped(n) for n in (1, 10, 11, 20, 30)] == [1, 1, 2, 2, 3]
    assert rule("trimmed", trim=0.1, liars=2).dropped(10) == 2


@pytest.mark.parametrize("kind", ["median", "trimmed"])
def test_coordinate_rules_break_beyond_their_number(kind):
    part = rule(kind, liars=2)
    assert not broken(centre(part, 1, 2, 3, FAR, FAR))
    assert broken(centre(part, 1, 2, FAR, FAR, FAR))


# -- krum --------------------------------------------------------------------------------------------------


def test_krum_by_hand():
    # n = 5, f = 1: two neighbours. 0: 1 + 9 = 10; 1: 1 + 4 = 5; 3: 4 + 4 = 8; 5: 4 + 16 = 20; 40: far
    assert centre(rule("krum"), 0, 1, 3, 5, 40).tolist() == [1]


def test_multi_krum_by_hand():
    # the scores 5, 8, 10 are those of 1, 3, 0
    assert np.allclose(centre(rule("krum", select=3), 0, 1, 3, 5, 40), 4 / 3, rtol=1e-7)
    sizes = dict(zip(IDS, (1, 2, 5, 1, 1), strict=False))
    assert centre(rule("krum", select=3, weights="samples"), 0, 1, 3, 5, 40, sizes=sizes).tolist() == [17 / 8]


def test_krum_bears_its_liars_and_no_more():
    part = rule("krum", liars=2)  # n = 7: three neighbours
    assert not broken(centre(part, 0, 1, 2, 3, 4, FAR, FAR))
    # one more has two neighbours of its kind, and an honest one far away; with four there are three
    assert broken(centre(part, 0, 2, 4, FAR, FAR, FAR, FAR))
    assert broken(centre(rule("krum", liars=1), 0, 10, 20, FAR, FAR, FAR))  # n = 6, three neighbours: two of a kind …


def test_more_selected_than_are_honest_breaks_multi_krum():
    assert not broken(centre(rule("krum", select=4), 0, 1, 2, 3, FAR))
    assert broken(centre(rule("krum", select=5), 0, 1, 2, 3, FAR))


# -- bulyan ------------------------------------------------------------------------------------------------


def test_bulyan_by_hand():
    # n = 7, f = 1: Krum takes five, the mean of the three values closest to their median.
    # of 0 … 5 and far: Krum leaves far out and one end; of 0 … 4 or 1 … 5 the middle three
    out = centre(rule("bulyan"), 0, 1, 2, 3, 4, 5, FAR)
    by_hand = bulyan([0, 1, 2, 3, 4, 5, FAR], 1)
    assert out[0] == np.float32(by_hand) and by_hand in (2, 3)


def bulyan(values, f):
    """On numbers, written anew."""
    left, taken = list(values), []
    while len(taken) < len(values) - 2 * f:
        near = max(len(left) - f - 2, 1)
        scores = []
        for i, x in enumerate(left):
            away = sorted((x - y) ** 2 for j, y in enumerate(left) if j != i)
            scores.append((sum(away[:near]), sum(away)))
        taken.append(left.pop(scores.index(min(scores))))
    taken.sort()
    middle = float(np.median(taken))
    beta = len(taken) - 2 * f
    return sum(sorted(taken, key=lambda x: (abs(x - middle), x))[:beta]) / beta


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n", "f"), [(7, 1), (9, 1), (11, 2), (5, 0)])
def test_bulyan_is_what_its_paper_says(n, f, seed):
    values = np.random.default_rng(seed).normal(size=n).astype(np.float32).astype(float)
    assert np.isclose(centre(rule("bulyan", liars=f), *values)[0], bulyan(values.tolist(), f), rtol=1e-5, atol=1e-7)


def test_bulyan_bears_its_liars_and_breaks():
    part = rule("bulyan", liars=1)
    assert not broken(centre(part, *HONEST[:6], FAR))
    assert broken(centre(part, 0, 1, FAR, FAR, FAR, FAR, FAR))
    assert broken(centre(part, 0, 1, 2, FAR, FAR, FAR, FAR))


# -- the geometric median ----------------------------------------------------------------------------------


def test_the_geometric_median_of_a_triangle_sees_its_sides_alike():
    """Fermat's point of (0, 0), (1, 0), (0, 1): the three directions lie 120° apart."""
    at = centre(rule("geometric-median", iterations=1000), (0, 0), (1, 0), (0, 1))
    ways = [p - at for p in np.array([[0.0, 0], [1, 0], [0, 1]])]
    ways = [w / np.linalg.norm(w) for w in ways]
    assert all(abs(ways[i] @ ways[j] + 0.5) < 1e-4 for i, j in ((0, 1), (0, 2), (1, 2)))


def test_one_step_by_hand():
    # begins at the median 1 of 0, 1, 5 (weights 1, ν = 2): pulls 1/max(2, 1), 1/2, 1/4: (0.5 + 1.25) / 1.25
    out = centre(rule("geometric-median", iterations=1, smoothing=2.0), 0, 1, 5)
    assert np.isclose(out[0], (0.5 * 0 + 0.5 * 1 + 0.25 * 5) / 1.25, rtol=1e-7)


def test_the_heavier_half_has_the_geometric_median():
    part = rule("geometric-median", weights="samples", liars=0)
    sizes = dict(zip(IDS, (6, 1, 1, 3), strict=False))
    assert np.isclose(centre(part, (1, 1), (5, 0), (0, 5), (9, 9), sizes=sizes)[0], 1, atol=1e-4)


def test_the_geometric_median_bears_less_than_half():
    part = rule("geometric-median", liars=2)
    assert not broken(centre(part, 1, 2, 3, FAR, FAR))
    assert broken(centre(part, 1, 2, FAR, FAR, FAR))


# -- centred clipping --------------------------------------------------------------------------------------


def test_centred_by_hand_over_two_rounds():
    # about 0: 1, 2, 2 (of 4) → mean 5/3; then about 5/3, to which 1, 2, 4 − clipped to 11/3: away −2/3, 1/3, 2 → +5/9
    part = rule("centred", radius=2.0)
    first = told(part, rows(1, 2, 4))
    assert np.isclose(first.average[0], 5 / 3, rtol=1e-6)
    second = told(part, rows(1, 2, 4), memory=first.memory, round=1)
    assert np.isclose(second.average[0], 5 / 3 + 5 / 9, rtol=1e-6)


def test_two_iterations_are_two_rounds_that_start_alike():
    once = rule("centred", radius=2.0)
    first = told(once, rows(1, 2, 4))
    second = told(once, rows(1, 2, 4), memory=first.memory, round=1)
    twice = told(rule("centred", radius=2.0, iterations=2), rows(1, 2, 4))
    assert np.isclose(twice.average[0], second.average[0], rtol=1e-6)


def test_a_liar_moves_the_centre_by_its_share_of_the_radius():
    out = centre(rule("centred", radius=3.0), 0, 0, FAR)
    assert out[0] == 1.0


def test_the_more_iterations_the_further_liars_carry_the_centre():
    """Of a majority that lies there is no bound but the number of steps."""
    few, many = (rule("centred", radius=3.0, iterations=n) for n in (1, 40))
    assert not broken(centre(few, 0, 0, FAR, FAR, FAR)) and broken(centre(many, 0, 0, FAR, FAR, FAR))
    assert not broken(centre(many, 0, 0, 0, FAR, FAR))


# -- foolsgold ---------------------------------------------------------------------------------------------


def test_foolsgold_by_hand():
    # cosines: a ⟂ b, c = d: v = (0, 0, 1, 1), α = 1, 1, 0, 0: the mean of a and b
    out = told(rule("foolsgold", of="whole"), rows((2, 0, 0, 0), (0, 4, 0, 0), (0, 0, 9, 0), (0, 0, 9, 0)))
    assert out.average.tolist() == [1, 2, 0, 0] and out.info.values["foolsgold.least"] == 0


def test_trust_by_hand():
    # cosines ab = 0.6, ac = 0.8, bc = 0: v = (0.8, 0.6, 0.8). Pardoned: ba · 0.6/0.8 = 0.45; a and c stay at 0.8.
    # α = 0.2, 0.55, 0.2 → /0.55: 4/11, 1, 4/11 → ln(4/7) + 0.5, 1
    alpha = trust(np.array([[0.6, 0.8], [1, 0], [0, 1]], float), 1.0)
    assert np.allclose(alpha, [max(0, math.log(4 / 7) + 0.5), 1, max(0, math.log(4 / 7) + 0.5)], atol=1e-12)
    assert np.allclose(trust(np.array([[0.6, 0.8], [1, 0], [0, 1]], float), 2.0), [0, 1, 0])


def test_histories_count_over_the_run():
    """Sybils that share one aim and hide it in one round are found out by the sum."""
    part = rule("foolsgold", of="whole")
    one = rows((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 9), (0, 0, 1, -9))
    two = rows((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, -9), (0, 0, 1, 9))
    first = told(part, one)
    second = told(part, two, memory=first.memory, round=1)
    assert first.average[2] > 0 and second.average[2:].tolist() == [0, 0]
    assert first.memory.rule.ids.tolist() == sorted(IDS[:4]) and first.memory.rule.rows.shape == (4, D)


def test_foolsgold_bears_any_number_alike_and_none_alone():
    part = rule("foolsgold", of="whole")
    honest = [(0, 1, 0), (1, 0, 0)]
    assert centre(part, *honest, *[(0, 0, FAR)] * 8)[2] == 0
    assert centre(part, *honest, (0, 0, FAR))[2] > 1e5


def test_a_group_of_sybils_only_keeps_its_model():
    out = told(rule("foolsgold", of="whole"), rows((0, 0, 5), (0, 0, 5)))
    assert out.average.tolist() == [0] * D and "pointed the same way" in out.info.notes[0]


def test_only_the_head_is_compared_unless_told():
    from fakes import layout

    assert rule("foolsgold").of == "head" and layout(6).d == 6
    start = np.zeros(6, np.float32)  # conv (2,), head (4,)
    ups = [np.array(u, np.float32) for u in ([9, 0, 1, 0, 0, 0], [9, 0, 0, 1, 0, 0], [0, 9, 0, 1, 0, 0])]
    head = told(rule("foolsgold"), ups, start=start)
    whole = told(rule("foolsgold", of="whole"), ups, start=start)
    assert head.memory.rule.rows.shape == (3, 4) and whole.memory.rule.rows.shape == (3, 6)
    assert head.average[0] == 9 and head.average[1] == 0  # the two that agree in the head are left out
    assert whole.average[1] > 0
