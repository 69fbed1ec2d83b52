"""Attacks on updates, worked out by hand; what each is handed, and that no more is used."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attacks_bed import MOVES, START, said, told
from scipy.special import ndtri

from disue.attacks.crafted import Alie, Ipm, MinMax, MinSum, z_of
from disue.attacks.knowledge import Attack, Seen
from disue.attacks.poison import Backdoor
from disue.attacks.simple import FreeRider, Noise, Scaling, SignFlip
from disue.core.errors import UserError
from disue.core.streams import Streams

A, B, C = said(4001, 1.0, 2.0, 0.0, 9.0), said(17, 3.0, 0.0, 1.0, 9.0), said(902, -1.0, 1.0, 2.0, 9.0)
FIVE = [A, B, C, said(5, 2.0, 2.0, 2.0, 9.0), said(88, 0.0, -1.0, 1.0, 9.0)]


def test_a_flip_turns_what_is_trained_and_leaves_what_is_tracked() -> None:
    assert told(SignFlip(2.0), [A, B], [4001])[4001].tolist() == [-2.0, -4.0, 0.0, 9.0]
    assert list(told(SignFlip(2.0), [A, B], [4001])) == [4001]
    assert told(Scaling(-0.5), [A], [4001])[4001].tolist() == [-0.5, -1.0, 0.0, 9.0]


def test_a_free_rider_sends_what_it_was_sent() -> None:
    assert told(FreeRider(), [A], [4001])[4001].tolist() == [0.0, 0.0, 0.0, 9.0]
    noise = told(FreeRider(0.5), [A], [4001])[4001][:3]
    wanted = 0.5 * Streams(0)("lie", 3, 4001).standard_normal(4)[:3]
    assert np.allclose(noise, wanted, atol=1e-6)
    other = said(4001, 7.0, 7.0, 7.0, 0.0)
    assert told(FreeRider(0.5), [other], [4001])[4001][:3].tolist() == noise.tolist(), "its own data says nothing"


def test_noise_is_as_long_as_it_is_asked_to_be() -> None:
    d = 4000
    start = np.zeros(d, np.float32)
    long = said(17, 1.0, moves=np.ones(1, bool))
    one = type(long)(17, start, np.full(d, 0.01, np.float32), np.ones(1), start[None], np.ones(d, bool))
    added = told(Noise(3.0), [one], [17])[17] - 0.01
    assert np.linalg.norm(added) / (3.0 * 0.01 * math.sqrt(d)) == pytest.approx(1.0, abs=0.05)
    assert told(Noise(0.0), [one], [17])[17].tolist() == one.update.tolist()


def test_a_lie_that_is_no_number_is_nobody_elses() -> None:
    sent = told(Scaling(1e39), [A, B], [4001])
    assert not np.isfinite(sent[4001]).all() and list(sent) == [4001]


# -- a little is enough -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "share"), [(50, 12, 24 / 38), (10, 2, 4 / 8), (11, 3, 5 / 8)])
def test_alie_takes_the_z_of_its_paper(n: int, m: int, share: float) -> None:
    """s = ⌊n/2 + 1⌋ − m: 26 − 12 = 14, so (50 − 12 − 14) / 38; 6 − 2 = 4, so 4/8; 6 − 3 = 3, so 5/8."""
    wanted = ndtri(share)
    assert z_of(n, m) == pytest.approx(wanted, abs=1e-12)


def test_alie_without_honest_clients_or_a_majority_of_liars_stays_finite() -> None:
    assert z_of(3, 3) == 0.0 and z_of(3, 2) == 0.0
    assert z_of(10, 8) == 0.0  # one supporter of two: Φ(z) < 1/2
    assert z_of(12, 8) == pytest.approx(ndtri(3 / 4))


def test_alie_moves_each_entry_by_z_deviations_and_all_liars_send_the_same() -> None:
    sent = told(Alie(z=2.0), FIVE, [4001, 17])
    # of (1, 2, 0) and (3, 0, 1): means 2, 1, 0.5, deviations 1, 1, 0.5
    for update in sent.values():
        assert update.tolist() == [0.0, -1.0, -0.5, 9.0]
    alone = told(Alie(z=2.0), FIVE, [4001])
    assert alone[4001].tolist() == [*A.update[:3].tolist(), 9.0], "one update has no deviation"
    everybody = told(Alie(z=1.0, knowledge="all"), FIVE, [4001, 17])[17]
    known = np.stack([one.update for one in FIVE[2:]])
    assert np.allclose(everybody[:3], (known.mean(0) - known.std(0))[:3], atol=1e-6)


def test_ipm_overturns_the_mean_beyond_its_epsilon() -> None:
    """Two of five lie: the sum is (3 − 2 ε) · mean of the honest, so that it turns round at ε = 3/2."""
    honest = np.mean([one.update for one in FIVE[2:]], axis=0)
    for epsilon, factor in ((0.5, 2.0), (1.5, 0.0), (3.0, -3.0)):
        sent = told(Ipm(epsilon=epsilon), FIVE, [4001, 17])
        total = sum(sent.values()) + sum(one.update for one in FIVE[2:])
        assert np.allclose(total[:3], factor * honest[:3], atol=1e-5)


# -- min-max, min-sum ---------------------------------------------------------------------------------------


def bisected(holds, high: float = 1e4) -> float:
    low = 0.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


@pytest.mark.parametrize("deviation", ["unit", "std", "sign"])
def test_min_max_and_min_sum_go_as_far_as_an_independent_bisection_finds(deviation: str) -> None:
    rng = np.random.default_rng(7)
    known = rng.standard_normal((6, 5)) + 1.0
    mean = known.mean(0)
    way = {"unit": -mean / np.linalg.norm(mean), "std": -known.std(0), "sign": -np.sign(mean)}[deviation]
    between = [[np.linalg.norm(a - b) for b in known] for a in known]

    def at(gamma: float) -> list[float]:
        return [float(np.linalg.norm(mean + gamma * way - one)) for one in known]

    most = max(map(max, between))
    gamma = bisected(lambda g: max(at(g)) <= most)
    assert gamma > 0.1
    assert np.allclose(MinMax(deviation=deviation).crafted(known, 9, 3), mean + gamma * way, atol=1e-9)
    bound = max(sum(d**2 for d in row) for row in between)
    total = bisected(lambda g: sum(d**2 for d in at(g)) <= bound)
    assert np.allclose(MinSum(deviation=deviation).crafted(known, 9, 3), mean + total * way, atol=1e-9)


def test_min_max_of_two_by_hand() -> None:
    """Of 0 and 4 in one entry: mean 2, deviation 2; no further than 4 from 4 is 0, so γ = 1."""
    known = np.array([[0.0], [4.0]])
    assert MinMax().crafted(known, 4, 2).tolist() == [0.0]
    assert MinSum().crafted(known, 4, 2) == pytest.approx(2 - 2.0)  # (x − 0)² + (x − 4)² ≤ 16 at x = 0


def test_where_all_known_are_alike_there_is_nowhere_to_hide() -> None:
    known = np.ones((3, 2))
    for attack in (MinMax(), MinSum(), MinMax(deviation="unit")):
        assert np.allclose(attack.crafted(known, 5, 2), 1.0)


# -- model replacement --------------------------------------------------------------------------------------


def test_with_scale_n_the_mean_becomes_the_malicious_model() -> None:
    """Honest clients have converged: they send what they were sent. Then mean = start + n/n · (liar's end − start)."""
    still = [said(i, 0.0, 0.0, 0.0, 0.0) for i in (17, 902, 5)]
    sent = told(Backdoor(scale=4.0), [A, *still], [4001])
    ends = [one.end for one in still] + [START + sent[4001]]
    assert np.allclose(np.mean(ends, axis=0)[:3], A.end[:3], atol=1e-6)


# -- knowledge ----------------------------------------------------------------------------------------------


class Spy(Attack):
    def __init__(self, knows: str) -> None:
        object.__setattr__(self, "knowledge", knows)
        object.__setattr__(self, "seen", [])

    def lie(self, seen: Seen):
        self.seen.append(seen)  # type: ignore[attr-defined]
        return seen.liars


@pytest.mark.parametrize(
    ("knows", "sets"),
    [
        ("own", [([17], []), ([4001], []), ([902], [])]),
        ("liars", [([17, 4001], []), ([902], [])]),
        ("all", [([17, 4001], [88]), ([902], [5])]),
    ],
)
def test_an_attack_is_handed_what_its_threat_model_grants(knows: str, sets: list) -> None:
    spy = Spy(knows)
    same = {4001: 0, 17: 0, 88: 0, 902: 1, 5: 1}  # who trained from which vector
    told(spy, FIVE, [4001, 17, 902], same)
    found = [([s.id for s in seen.liars], [s.id for s in seen.honest]) for seen in spy.seen]  # type: ignore[attr-defined]
    assert found == sets
    assert {seen.guide is None and seen.liked is None for seen in spy.seen} == {True}  # type: ignore[attr-defined]
    assert [seen.asked for seen in spy.seen if seen.liars[0].id == 902] == [2]  # type: ignore[attr-defined]


@pytest.mark.parametrize("attack", [SignFlip(), Scaling(), Noise(), FreeRider(1.0), Alie(), MinMax(), MinSum()])
def test_a_lie_does_not_hang_on_what_is_not_known(attack: Attack) -> None:
    other = [A, B, *(said(one.id, 50.0, -50.0, 5.0, 0.0) for one in FIVE[2:])]
    one, two = told(attack, FIVE, [4001, 17]), told(attack, other, [4001, 17])
    assert all(one[i].tolist() == two[i].tolist() for i in one)
    assert MOVES.sum() == 3


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: SignFlip(-1.0), "attack.scale must be a number ≥ 0, got -1"),
        (lambda: Scaling(math.inf), "attack.scale must be a finite number, got inf"),
        (lambda: Alie(knowledge="some"), 'attack.knowledge: unknown name "some"'),
        (lambda: MinMax(deviation="var"), 'attack.deviation: unknown name "var"'),
    ],
)
def test_bad_keys_are_one_sentence(make, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        make()
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)
