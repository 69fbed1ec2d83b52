"""Whole rounds: the right sums and cosines, whoever drops out and wherever."""

from __future__ import annotations

import numpy as np
from federation import Federation

from disue.secure.client.state import Closed
from disue.secure.server.state import Failed
from disue.secure.wire.estimate import cosines
from disue.secure.wire.opening import SKETCH


def summed(one: object) -> np.ndarray:
    return np.concatenate(one.sections)  # type: ignore[attr-defined]


def test_a_round_gives_the_sums_and_the_cosines():
    fed = Federation(8)
    exchange = fed.exchange(fed.open(SKETCH))
    assert exchange.open().tolist() == list(range(8))
    present, (sketches,) = exchange.sketches()
    assert present.tolist() == list(range(8)) and sketches.shape == (8, 256)
    unit = fed.updates / np.linalg.norm(fed.updates, axis=1, keepdims=True)
    rho = unit @ unit.T
    assert np.abs(cosines(sketches) - rho).max() < 4 * np.max(1 - rho**2) * np.sqrt(1 / 256 + 1 / 7)
    groups = {4: [0, 2, 4, 6], 9: [1, 3, 5, 7]}
    sums = exchange.sums(groups)
    for number, members in groups.items():
        assert sums[number].alive.tolist() == members
        np.testing.assert_allclose(summed(sums[number]), fed.expected(members), rtol=0, atol=len(members) * 2**-33)
    assert all(isinstance(party.events[-1], Closed) and party.state.round is None for party in fed.parties.values())
    assert not any(isinstance(event, Failed) for event in exchange.events)
