"""What the lying server of the experiments does is what it says, and each client refuses by the name that it should."""

from __future__ import annotations

import numpy as np
import pytest

from disue.core.streams import Streams
from disue.secure.check import lying
from disue.secure.check.cohort import MODEL, Cohort
from disue.secure.check.stripping import Stripping, right
from disue.secure.client.local import Policy
from disue.secure.client.state import Aborted
from disue.secure.wire.names import TooFewAlive

STREAMS = Streams(5)


def refusals(cohort: Cohort) -> list[str]:
    events = [event for party in cohort.parties.values() for event in party.events]
    return [event.refusal.name for event in events if isinstance(event, Aborted)]


def test_whoever_has_all_secrets_of_a_client_reads_it_and_nobody_else() -> None:
    cohort = Cohort(STREAMS, 5, 20)
    opened = cohort.opening()
    exchange = cohort.exchange(opened)
    exchange.open()
    secrets = {index: party.state.round.secrets for index, party in cohort.parties.items()}
    exchange.sums({0: range(5)})
    heard = [message for _, _, message in cohort.heard.messages]
    for member in range(5):
        for known in ([], ["self"], ["key"], ["self", "key"]):
            attacker = Stripping(cohort, heard)
            assert attacker.selves.keys() == {(index, 0) for index in range(5)}, "all were alive: self seeds are out"
            if "self" not in known:
                del attacker.selves[member, 0]
            if "key" in known:
                attacker.told(member, mask_key=secrets[member].masks[0])
            got = right(attacker.strip(member), cohort.vector(member, opened))
            assert got == (1.0 if len(known) == 2 else 0.0)
    attacker = Stripping(cohort, heard)
    for other in range(1, 5):
        attacker.told(other, mask_key=secrets[other].masks[0])
    assert right(attacker.strip(0), cohort.vector(0, opened)) == 1, "all partners together open it too"
    attacker.mask_keys.pop(4)
    assert right(attacker.strip(0), cohort.vector(0, opened)) == 0, "all but one do not"


@pytest.mark.parametrize(("consistency", "said"), [(True, ["Equivocation"] * 10), (False, [])])
def test_different_alive_sets(consistency: bool, said: list[str]) -> None:
    cohort = Cohort(STREAMS, 10, 20, Policy(consistency=consistency))
    liar = lying.Equivocator(cohort, victim=4)
    exchange = cohort.exchange(cohort.opening(consistency=consistency), liar)
    exchange.open()
    exchange.sums({0: range(10)})
    assert refusals(cohort) == said
    attacker = Stripping(cohort, [m for _, _, m in cohort.heard.messages] + [message for _, message in liar.got])
    assert bool(attacker.mask_keys) is not consistency


def test_a_client_that_asks_for_consistency_does_not_join_without() -> None:
    cohort = Cohort(STREAMS, 4, 20)
    with pytest.raises(TooFewAlive):
        cohort.exchange(cohort.opening(consistency=False)).open()
    assert refusals(cohort) == ["PolicyTooWeak"] * 4


def test_two_models() -> None:
    cohort = lying.Fooled(STREAMS, looks=True)
    liar = lying.TwoModels(cohort)
    with pytest.raises(TooFewAlive):
        cohort.exchange(cohort.opening(), liar).open()
    assert refusals(cohort) == ["WrongContext"] * 6
    honest = Cohort(STREAMS, 6, 20, reference=lambda index, opened: b"x" * 32 if index == 2 else MODEL)
    assert 2 not in honest.exchange(honest.opening()).open(), "one who got another model than listed stays out"


@pytest.mark.parametrize("experiment", [lying.two_passes, lying.equivocation, lying.two_models, lying.late_upload])
def test_attacks_that_get_nothing_are_no_controls(experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the attacker's own work is spoiled, the control is not caught and the row is not good."""
    monkeypatch.setattr(lying.Stripping, "strip", lambda self, member: np.zeros(3, np.uint64))
    monkeypatch.setattr(lying, "right", lambda found, truth: 0.0)
    rows = experiment(STREAMS, True)
    assert experiment is lying.two_models or not rows[0].good
