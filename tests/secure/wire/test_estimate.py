"""Cosines from sketches: exact integers, angles from signs, errors as stated, and the length a sketch needs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.secure.wire.estimate import cosines, cosines_of_bits, deviation, k_for, k_for_pairs


def test_by_hand() -> None:
    got = cosines(np.array([[3, 4], [4, 3], [-3, -4], [0, 0]], np.int16))
    assert got.tolist() == [[1, 0.96, -1, 0], [0.96, 1, -0.96, 0], [-1, -0.96, 1, 0], [0, 0, 0, 1]]


def test_inner_products_are_those_of_integers() -> None:
    rows = np.random.default_rng(0).integers(-32767, 32768, (30, 4096)).astype(np.int16)
    whole = rows.astype(np.int64) @ rows.astype(np.int64).T
    lengths = np.sqrt(np.diag(whole).astype(float))
    want = whole / lengths[:, None] / lengths[None, :]
    got = cosines(rows)
    assert (got == got.T).all() and (np.diag(got) == 1).all()
    assert np.abs(got - want)[~np.eye(30, dtype=bool)].max() < 1e-15


def test_signs_by_hand() -> None:
    """Of 8 signs 8, 6, 4 and 0 agree: angles 0, π/4, π/2 and π."""
    bits = np.array([[0b11111111], [0b11111100], [0b11110000], [0b00000000]], np.uint8)
    assert np.allclose(cosines_of_bits(bits, 8)[0], [1, math.sqrt(0.5), 0, -1])


def test_errors_are_as_said() -> None:
    """4000 sketches of pairs at cosine ρ: their spread is (1 − ρ²) / √k, for signs π √(p (1 − p) / k) sin θ."""
    rng = np.random.default_rng(1)
    k = 256
    for rho in (0.0, 0.5, 0.9):
        a, b = rng.normal(size=(2, 4000, k))
        b = rho * a + math.sqrt(1 - rho * rho) * b
        pairs = np.stack([a, b], axis=1)
        found = np.array([cosines(np.rint(4096 * pair).astype(np.int16))[0, 1] for pair in pairs])
        assert abs(found.mean() - rho) < 0.005
        assert found.std() == pytest.approx(deviation(rho, k, 2**31), rel=0.05)
        signs = np.array(
            [cosines_of_bits(np.packbits(pair >= 0, axis=1, bitorder="little"), k)[0, 1] for pair in pairs]
        )
        p, theta = 1 - math.acos(rho) / math.pi, math.acos(rho)
        assert signs.std() == pytest.approx(math.pi * math.sqrt(p * (1 - p) / k) * math.sin(theta), rel=0.06)
    assert deviation(0, 256, 4096) == pytest.approx(0.0644, abs=1e-4)


@pytest.mark.parametrize(("w", "b", "k"), [(0.45, 0.05, 136), (0.25, 0.05, 297), (0.2, 0.0, 299), (0.12, 0.02, 697)])
def test_the_rule_of_groups(w: float, b: float, k: int) -> None:
    assert k_for(w, b, 100, 4) == k


def test_the_rule_of_groups_by_hand() -> None:
    """n = 20, two groups, w = 1: z at 0.05 / 20 is 2.8070, 4 z² / 0.5 = 63.04."""
    assert k_for(1.0, 0.5, 20, 2) == 64
    assert k_for(0.6, 0.1, 20, 2) == math.ceil(63.03 * (1 + 0.4 / (10 * 0.5)))


def test_pairs_ask_for_more() -> None:
    """tanh(0.5) and 0, ten clients, 45 pairs: z at 0.05 / 45 is 3.0588, (2 z / 0.5)² = 149.7."""
    assert k_for_pairs(math.tanh(0.5), 0.0, 10) == 150
    assert k_for_pairs(1.0, 0.0, 10) == 1
    for w, b in ((0.45, 0.05), (0.25, 0.05), (0.12, 0.02)):
        assert k_for_pairs(w, b, 100) > k_for(w, b, 100, 4)


@pytest.mark.parametrize("rule", [lambda w, b: k_for(w, b, 10, 2), lambda w, b: k_for_pairs(w, b, 10)])
def test_where_there_is_nothing_to_tell_apart(rule) -> None:
    for w, b in ((0.3, 0.3), (0.2, 0.3), (math.nan, 0.0)):
        with pytest.raises(UserError, match="nothing to tell apart"):
            rule(w, b)
    with pytest.raises(UserError, match="groups"):
        k_for(0.5, 0.1, 10, 1)


def average_linkage(similarity: np.ndarray, groups: int) -> list[set[int]]:
    """The few lines that the rule is about: the two groups with the highest mean cosine become one."""
    sets = [{i} for i in range(len(similarity))]
    while len(sets) > groups:
        mean = [
            (similarity[np.ix_(sorted(a), sorted(b))].mean(), i, j)
            for i, a in enumerate(sets)
            for j, b in enumerate(sets[:i])
        ]
        _, i, j = max(mean)
        sets[j] |= sets.pop(i)
    return sets


def test_the_rule_is_enough_and_a_tenth_is_not() -> None:
    n, groups, w, b = 20, 2, 0.3, 0.05
    of = np.arange(n) % groups
    gram = np.where(of[:, None] == of[None, :], w, b) + (1 - w) * np.eye(n)
    root = np.linalg.cholesky(gram)
    rng = np.random.default_rng(2)

    def right(k: int) -> int:
        planted = {frozenset(np.flatnonzero(of == g).tolist()) for g in range(groups)}
        drawn = (np.rint(4096 * (root @ rng.normal(size=(n, k)))).astype(np.int16) for _ in range(10))
        return sum({frozenset(s) for s in average_linkage(cosines(rows), groups)} == planted for rows in drawn)

    assert right(k_for(w, b, n, groups)) >= 9
    assert right(k_for(w, b, n, groups) // 10) <= 5
